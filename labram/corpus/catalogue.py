"""The catalogue: one row per recording, and the table of labels.

The schemas below define all columns with type, unit and meaning; `describe` renders them for the documentation. No
column has a file name, text of a header, or a subject's own id.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from labram import checksums
from labram.errors import CorpusError, DamagedFileError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
ACCEPTED, QUARANTINED = "accepted", "quarantined"
GUESSED = "guessed"
"""Value of `subject_source` of recordings whose subject nothing states."""
CATALOGUE_FILE, LABELS_FILE = "catalogue.parquet", "labels.parquet"


def _field(name: str, kind: pa.DataType, description: str, unit: str = "") -> pa.Field:
    return pa.field(name, kind, metadata={"description": description, "unit": unit})


_NAMES = pa.list_(pa.string())
_NUMBERS = pa.list_(pa.float64())
_COUNTS = pa.list_(pa.int64())

SCHEMA = pa.schema(
    [
        _field(
            "recording_id",
            pa.string(),
            "Dataset and hexadecimal digits: 10 of its content, 16 of a keyed hash of its path",
        ),
        _field("dataset", pa.string(), "Name of the adapter"),
        _field(
            "subject_key", pa.string(), "Dataset, or population of datasets, and keyed hash of the subject's own id"
        ),
        _field(
            "subject_source",
            pa.string(),
            "What states the subject: adapter, pattern, table, bids; guessed: folder and file names",
        ),
        _field("group_key", pa.string(), "Keyed hash of what must stay in one split, such as a couple; empty: none"),
        _field("session", pa.string(), "Keyed hash of session or run, which distinguishes a subject's recordings"),
        _field("format", pa.string(), "Suffix of the file, without the dot"),
        _field("bytes", pa.int64(), "Size of all files of the recording", "byte"),
        _field("content_hash", pa.string(), "SHA-256 over the recording's files; empty: unreadable"),
        _field("montage", _NAMES, "Canonical channel names, in the order of the file"),
        _field(
            "dropped", pa.int32(), "Channels left out: not EEG, unknown to the model, or a duplicate name", "channels"
        ),
        _field("rate_hz", pa.float64(), "Sampling rate of the file", "Hz"),
        _field("unit", pa.string(), "Unit of the values in the file: V, mV, µV or nV; empty: not stated"),
        _field("unit_scale", pa.float64(), "Factor that the adapter applies to the file's values"),
        _field("max_window_uv", pa.float64(), "Largest amplitude in a window; empty: that of the recipe", "µV"),
        _field("reference", pa.string(), "Recording reference, from the dataset's description"),
        _field("mains_hz", pa.float64(), "Line frequency, from the adapter (BIDS: PowerLineFrequency)", "Hz"),
        _field("seconds", pa.int64(), "Duration in the store, whole seconds", "s"),
        _field("trial_seconds", pa.int64(), "Duration of each trial in the store; empty: a continuous recording", "s"),
        _field("store_key", pa.string(), "Key in the patch store; empty: no patches"),
        _field("signal_hash", pa.string(), "SHA-256 of the rounded signal: independent of format and unit"),
        _field("signal_sketch", _COUNTS, "16 hashes of 6 s, which recordings with common seconds share"),
        _field("patient_hash", pa.string(), "Keyed hash of the header's patient code and name; empty: not stated"),
        _field("start_hash", pa.string(), "Keyed hash of device and start time, in steps of 2 s; empty: not stated"),
        _field("end_hashes", _NAMES, "The same of the end, with the steps before and after"),
        _field("gap_seconds", pa.float64(), "Longest gap in the time stamps; empty: the file does not tell", "s"),
        _field("missing_samples", pa.int64(), "Samples that are NaN or infinite, over all channels", "samples"),
        _field("dead_seconds", pa.int64(), "Seconds in which all channels are constant (dropouts)", "s"),
        _field("held_fraction", pa.float64(), "Fraction of samples equal to the previous one; median over channels"),
        _field("band_rms_uv", pa.float64(), "RMS in 1-45 Hz of a typical segment of 4 s, median over channels", "µV"),
        _field("unit_correction", pa.float64(), "Factor that would make the amplitude plausible; 1: plausible"),
        _field(
            "line_noise_ratio",
            pa.float64(),
            "Power at the line frequency ± 1 Hz over power in 1-45 Hz; median over channels",
        ),
        _field("psd_slope", pa.float64(), "Slope of log power over log frequency, 1-40 Hz, median over channels"),
        _field(
            "spectral_flatness", pa.float64(), "Mean over peak of the spectrum in 1-40 Hz without its slope; median"
        ),
        _field(
            "channel_correlation", pa.float64(), "Absolute correlation of two channels in 1-40 Hz; median over pairs"
        ),
        _field("median_sd_uv", pa.float64(), "Median over channels of the SD, after preprocessing", "µV"),
        _field("clipped_samples", pa.int64(), "Values clipped at the store's limit, over all channels", "samples"),
        _field(
            "flat_channels",
            pa.int32(),
            "Channels with too small an SD, or constant for too long, by the recipe",
            "channels",
        ),
        _field("flat_fraction", pa.float64(), "flat_channels as a fraction of the montage"),
        _field(
            "saturated_channels", pa.int32(), "Channels for too long at their extreme value, by the recipe", "channels"
        ),
        _field("bad_channels", pa.int32(), "Channels with too large an SD, or saturated, by the recipe", "channels"),
        _field("bad_fraction", pa.float64(), "bad_channels as a fraction of the montage"),
        _field(
            "interpolated_channels", _NAMES, "Flat and bad channels, which windows have interpolated, by the recipe"
        ),
        _field("excluded_seconds", _COUNTS, "Seconds that no window has, because of `max_window_uv`; from 0", "s"),
        _field("excluded_fraction", pa.float64(), "excluded_seconds as a fraction of the recording"),
        _field("channel_sd_uv", _NUMBERS, "SD of each channel, after preprocessing", "µV"),
        _field("channel_p50_uv", _NUMBERS, "Median absolute amplitude of each channel, after preprocessing", "µV"),
        _field("channel_p95_uv", _NUMBERS, "95th percentile of the absolute amplitude", "µV"),
        _field("channel_p99_uv", _NUMBERS, "99th percentile of the absolute amplitude", "µV"),
        _field("channel_clipped_samples", _COUNTS, "clipped_samples of each channel", "samples"),
        _field("channel_missing_samples", _COUNTS, "missing_samples of each channel", "samples"),
        _field("channel_flat_fraction", _NUMBERS, "Fraction of seconds in which each channel is constant"),
        _field(
            "channel_saturated_fraction", _NUMBERS, "Fraction of samples of each channel that repeat its extreme value"
        ),
        _field("channel_line_noise_ratio", _NUMBERS, "line_noise_ratio of each channel"),
        _field("channel_psd_slope", _NUMBERS, "psd_slope of each channel"),
        _field("copy_of", pa.string(), "Accepted recording with the same content or signal; empty: none"),
        _field("verdict", pa.string(), "accepted or quarantined"),
        _field("reasons", _NAMES, "Reason codes of the quarantine"),
        _field("warnings", _NAMES, "Warning codes; the recording is used"),
        _field("split", pa.string(), "train, validation or test; empty if quarantined"),
        _field(
            "protocol",
            pa.string(),
            "Kind of cross-validation, which tests every subject; empty: the test split is",
        ),
        _field("folds", _COUNTS, "Fold in which the subject is tested, in each repetition of the cross-validation"),
    ]
)

_ADDED = {
    "subject_source", "group_key", "trial_seconds", "max_window_uv", "signal_sketch", "patient_hash", "start_hash",
    "end_hashes", "interpolated_channels", "excluded_seconds", "excluded_fraction", "protocol", "folds",
}  # fmt: skip
"""Columns that catalogues of version 0.1 lack; they are null when such a catalogue is read."""

LABELS = pa.schema(
    [
        _field("recording_id", pa.string(), "The recording"),
        _field("task", pa.string(), "Name of the task"),
        _field("start", pa.float64(), "Onset of the labelled interval", "s"),
        _field("seconds", pa.float64(), "Duration of the labelled interval", "s"),
        _field("label", pa.list_(pa.float64()), "Class index, or regression targets in the order of the recipe"),
    ]
)


@dataclass(frozen=True)
class Corpus:
    """Catalogue and labels of a corpus.

    Attributes:
        catalogue: One row per recording, columns of `SCHEMA`.
        labels: One row per labelled interval, columns of `LABELS`.
    """

    catalogue: pd.DataFrame
    labels: pd.DataFrame

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, object]], labels: Iterable[Mapping[str, object]]) -> "Corpus":
        """Build a corpus from dictionaries; absent columns are null."""
        return cls(_with_subject_sources(_frame(list(rows), SCHEMA)), _frame(list(labels), LABELS))

    @classmethod
    def load(cls, folder: Path, *, sealed: bool = False) -> "Corpus":
        """Read the files that `save` wrote.

        Args:
            folder: The folder.
            sealed: Whether both files must have a digest, because a decision rests on them.

        Raises:
            CorpusError: If the catalogue is absent, damaged, or of another version of labram.
        """
        rows, labels = (
            _read(folder / name, schema, checksums.require_sealed if sealed else checksums.read_checked)
            for name, schema in ((CATALOGUE_FILE, SCHEMA), (LABELS_FILE, LABELS))
        )
        return cls(_with_subject_sources(rows), labels)

    @classmethod
    def merged(cls, parts: Iterable["Corpus"]) -> "Corpus":
        """Merge corpora into one, sorted by recording, so that the number of parts does not matter."""
        tables = list(parts)
        rows = pd.concat([part.catalogue for part in tables], ignore_index=True)
        labels = pd.concat([part.labels for part in tables], ignore_index=True)
        return cls(
            rows.sort_values("recording_id", ignore_index=True),
            labels.sort_values(["recording_id", "task", "start"], ignore_index=True),
        )

    def save(self, folder: Path) -> None:
        """Write `catalogue.parquet` and `labels.parquet`; equal tables yield equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        _write(self.catalogue, SCHEMA, folder / CATALOGUE_FILE)
        _write(self.labels, LABELS, folder / LABELS_FILE)

    def accepted(self, split: Split | None = None, dataset: str | None = None) -> pd.DataFrame:
        """Return the rows of accepted recordings, optionally of one split and one dataset."""
        rows = self.catalogue[self.catalogue["verdict"] == ACCEPTED]
        if split is not None:
            rows = rows[rows["split"] == split]
        if dataset is not None:
            rows = rows[rows["dataset"] == dataset]
        return rows.reset_index(drop=True)

    def protocol(self, dataset: str) -> str:
        """Return the kind of cross-validation of a dataset's subjects; empty under a hold-out split."""
        return str(next(iter(self.accepted(dataset=dataset)["protocol"].dropna()), ""))

    def tested(self, dataset: str, task: str = "") -> pd.DataFrame:
        """Return the accepted recordings of the tested subjects of a dataset, or those with labels of a task."""
        rows = self.accepted(None if self.protocol(dataset) else "test", dataset)
        labelled = set(self.labels["recording_id"][self.labels["task"] == task])
        return rows[rows["recording_id"].isin(labelled)] if task else rows

    def guessed(self, dataset: str | None = None) -> pd.DataFrame:
        """Return the rows of accepted recordings whose subject is guessed from names."""
        rows = self.accepted(dataset=dataset)
        return rows[rows["subject_source"] == GUESSED]

    @property
    def subjects_guessed_from(self) -> str | None:
        """What subjects are guessed from, for reports; None if all are stated."""
        rows = self.guessed()
        if rows.empty:
            return None
        total, subjects = len(self.accepted()), rows["subject_key"].nunique()
        return f"guessed from folder and file names ({len(rows)} of {total} recordings, {subjects} subjects)"

    def splits_hash(self) -> str:
        """Return the first 12 hex digits of the SHA-256 over content and split of all accepted recordings.

        It does not depend on the subject key.
        """
        rows = self.accepted()
        lines = sorted(f"{content} {split}" for content, split in zip(rows["content_hash"], rows["split"], strict=True))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]

    def quarantined(self) -> pd.DataFrame:
        """Return the rows of quarantined recordings."""
        return self.catalogue[self.catalogue["verdict"] == QUARANTINED].reset_index(drop=True)

    def intervals(self, task: str, split: Split | None = None, dataset: str | None = None) -> pd.DataFrame:
        """Return the labelled intervals of a task in accepted recordings, joined with the recordings' columns."""
        labels = self.labels[self.labels["task"] == task].drop(columns="task")
        rows = self.accepted(split, dataset).rename(columns={"seconds": "recording_seconds"})
        return labels.merge(rows, on="recording_id", how="inner", validate="many_to_one")


def describe() -> str:
    """Return the schema of both tables as Markdown, for the documentation."""
    return "\n\n".join(
        f"### {title}\n\n| column | type | unit | meaning |\n| --- | --- | --- | --- |\n"
        + "\n".join(_describe_field(field) for field in schema)
        for title, schema in ((CATALOGUE_FILE, SCHEMA), (LABELS_FILE, LABELS))
    )


def _describe_field(field: pa.Field) -> str:
    meaning, unit = field.metadata[b"description"].decode(), field.metadata[b"unit"].decode()
    kind = str(field.type).replace("<element: ", "<").replace("<item: ", "<")
    return f"| `{field.name}` | {kind} | {unit} | {meaning} |"


def _with_subject_sources(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a catalogue with `subject_source` where it has none, as in versions before that column."""
    usual = rows["dataset"].map({"folder": GUESSED, "bids": "bids"}).fillna("adapter")
    known = rows.get("subject_source", pd.Series(None, rows.index, dtype=object))
    return rows.assign(subject_source=known.where(known.notna(), usual))


def _frame(rows: list[Mapping[str, object]], schema: pa.Schema) -> pd.DataFrame:
    unknown = {name for row in rows for name in row} - set(schema.names)
    assert not unknown, f"columns outside the schema: {unknown}"
    return _to_pandas(pa.Table.from_pylist(rows, schema=schema))


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    """Convert to pandas with Python lists: arrays, the default, compare element by element."""
    frame: pd.DataFrame = table.to_pandas()
    for field in table.schema:
        if pa.types.is_list(field.type):
            values: list[Any] = table.column(field.name).to_pylist()
            frame[field.name] = pd.Series(values, index=frame.index, dtype=object)
    return frame


def _write(frame: pd.DataFrame, schema: pa.Schema, path: Path) -> None:
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    pq.write_table(table.replace_schema_metadata({checksums.KEY: checksums.PLACEHOLDER}), path)
    checksums.seal(path)


def _read(path: Path, schema: pa.Schema, read: Callable[[Path], bytes]) -> pd.DataFrame:
    try:
        table = pq.read_table(pa.BufferReader(read(path)))
        for name in sorted(_ADDED & set(schema.names) - set(table.column_names)):
            table = table.append_column(name, pa.nulls(len(table), schema.field(name).type))
        missing = sorted(set(schema.names) - set(table.column_names))
    except (OSError, pa.ArrowException, DamagedFileError) as error:
        raise CorpusError(
            "the catalogue is absent or damaged", file=path.name, remedy="Run `labram run` to ingest again"
        ) from error
    if missing:
        raise CorpusError(
            f"the catalogue has no column {', '.join(missing)}",
            file=path.name,
            remedy="It was written by another version of labram; run `labram run` to ingest again",
        )
    return _to_pandas(table.select(schema.names))
