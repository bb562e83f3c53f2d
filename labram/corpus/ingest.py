"""Ingest: read, filter and measure each recording once; fill the patch store and the catalogue.

A recording that cannot be used is a catalogue row with a reason code. Patches and metadata are stored under a hash of
the recording's content, so a second ingest only hashes the files.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from labram import datasets as adapters
from labram.corpus import pseudonyms
from labram.corpus.catalogue import Corpus
from labram.corpus.evidence import origin_columns
from labram.corpus.process_pool import limited, map_unordered
from labram.corpus.process_recording import PEAKS, process_recording, quarantined_row
from labram.corpus.scan import Content, Item, hash_item, hash_sidecars, propose_subjects, recording_id, scan
from labram.datasets.base import RecordingFile
from labram.datasets.subjects import Proposal
from labram.errors import LabramError, Reason
from labram.events import Monitor
from labram.recipe import PreprocessingRecipe
from labram.signals.readers import is_compressed
from labram.signals.readers.origin import read as read_origin
from labram.signals.version import VERSION as SIGNALS
from labram.source_hash import hash_sources
from labram.store.store import Store

log = logging.getLogger(__name__)

_SECONDS, _BYTES_PER_SECOND = 1800, 1 << 18
"""Time limit of one recording: a basis, and the size of its files at the rate of a slow machine."""
_MEMORY_BYTES, _MEMORY_RATIO = 1 << 31, 32
"""Memory that the process of a recording may take besides its libraries: a basis, and a multiple of its size."""
_GZIP_RATIO = 10
_RATE_TOLERANCE, _DURATION_TOLERANCE, _DURATION_SECONDS = 0.01, 0.02, 2.0
_METADATA_MODULES = ("process_recording", "signal_metrics", "pseudonyms", "spectra", "line_noise", "ingest")


@cache
def _metadata_version() -> str:
    """Return a hash of the modules of this package that stored metadata depends on."""
    return hash_sources(Path(__file__).with_name(f"{name}.py") for name in _METADATA_MODULES)


@dataclass(frozen=True)
class IngestResult:
    """Counts of one ingest shard.

    Attributes:
        recordings: Catalogue rows written.
        quarantined: Recordings that could not be read, before any quality rule.
        reused: Recordings whose metadata was in the store.
        seconds: Duration of the other recordings in seconds of EEG.
        unused: Names of top-level folders and files with EEG that belong to no dataset of the recipe. For display only.
        paths: Path of each recording relative to the corpus folder, by recording id. For display only.
        proposal: Subjects that are guessed from names, over all shards; None if all are stated. For display only.
    """

    recordings: int
    quarantined: int
    reused: int
    seconds: int
    unused: tuple[str, ...]
    paths: Mapping[str, Path]
    proposal: Proposal | None = None

    def __str__(self) -> str:
        text = f"{self.recordings} recordings, {self.reused} reused from the store, {self.quarantined} quarantined"
        return (
            f"{text}; {len(self.unused)} folders or files of EEG belong to no dataset in use" if self.unused else text
        )


def ingest(
    data: Path,
    datasets: Sequence[str],
    out: Path,
    *,
    store: Store,
    preprocessing: PreprocessingRecipe,
    shard: int,
    shards: int,
    subject_key: bytes,
    monitor: Monitor,
    workers: int = 1,
    subject: str = "",
) -> IngestResult:
    """Ingest every `shards`-th recording of a corpus folder.

    Args:
        data: The corpus folder.
        datasets: Adapters to use; empty: every adapter that recognises the folder (see `labram.datasets.find`).
        out: Folder for this shard's catalogue and labels.
        store: Patch store.
        preprocessing: Filter settings.
        shard: Index of this shard, from 0.
        shards: Number of shards.
        subject_key: Secret key for subject names (see `labram.corpus.pseudonyms.load_key`).
        monitor: Receives progress.
        workers: Number of worker processes. A recording that crashes its worker, or exhausts its memory, is
            quarantined. 0 runs in the calling process, for tests.
        subject: Pattern of subjects, see `labram.corpus.scan.scan`.

    Returns:
        Counts. The tables are in `out`; `labram.corpus.quality.check_quality` merges shards into a corpus.

    Raises:
        CorpusError: If the folder has no recordings, or lacks a named dataset.
        StoreError: If the store cannot be written.
    """
    store.gc()
    items = scan(data, datasets, subject)
    if preprocessing.compatibility == "published":
        items = [replace(item, dataset=item.dataset.as_published()) for item in items]
    mine = items[shard::shards]
    work = partial(_process, store=store, preprocessing=preprocessing, subject_key=subject_key)
    results: dict[int, _Metadata] = {}
    reused = 0
    for index, result in map_unordered(work, mine, workers=workers):
        metadata = results[index] = result or _killed(mine[index], store, subject_key)
        if metadata.failure:
            # Neither the file's name nor a traceback, which may quote it, belongs in a log.
            log.error("%s failed: %s", metadata.row["recording_id"], metadata.failure)
        reused += metadata.reused
        monitor.progress(len(results), len(mine), reused=reused)
    ordered = [results[index] for index in range(len(mine))]
    corpus = Corpus.of(
        [metadata.row for metadata in ordered],
        [{**label, "recording_id": metadata.row["recording_id"]} for metadata in ordered for label in metadata.labels],
    )
    corpus.save(out)
    return IngestResult(
        recordings=len(ordered),
        quarantined=len(corpus.quarantined()),
        reused=reused,
        seconds=int(corpus.accepted()["seconds"].sum()),
        unused=tuple(adapters.unused(data, [(item.dataset, item.folder) for item in items])),
        paths={
            metadata.row["recording_id"]: item.file.path.relative_to(data)
            for metadata, item in zip(ordered, mine, strict=True)
        },
        proposal=propose_subjects(items, data),
    )


class _ChangedError(Exception):
    """The recording, or a file that its labels depend on, changed after it was hashed."""


class _Metadata(NamedTuple):
    """Metadata of one recording.

    Attributes:
        row: Catalogue row.
        labels: Label rows without `recording_id`.
        reused: Whether the metadata was in the store.
        failure: Kind of an unexpected failure; empty if the recording was accepted, or quarantined as designed.
    """

    row: dict[str, Any]
    labels: list[dict[str, Any]]
    reused: bool = False
    failure: str = ""


def _process(item: Item, *, store: Store, preprocessing: PreprocessingRecipe, subject_key: bytes) -> _Metadata:
    content = hash_item(item, store)
    identity = identity_row(item, content, subject_key)
    reason = _early_reason(item, content)
    if reason is not None:
        key = store.key(identity["recording_id"], refusal=reason.value)
        reused = store.get_metadata(key) is not None
        if not reused:
            store.put_metadata(key, quarantined_row(reason))
        return _merge(identity, quarantined_row(reason), reused=reused)
    with limited(
        seconds=_SECONDS + content.size // _BYTES_PER_SECOND,
        memory_bytes=_MEMORY_BYTES + _MEMORY_RATIO * _unpacked(item.file.path, content.size),
    ):
        return _process_content(item, content, identity, store, preprocessing, subject_key)


def _unpacked(path: Path, size: int) -> int:
    """Return the bytes to which a recording of some size may unpack."""
    return size * (_GZIP_RATIO if is_compressed(path) else 1)


def _process_content(
    item: Item,
    content: Content,
    identity: dict[str, Any],
    store: Store,
    preprocessing: PreprocessingRecipe,
    subject_key: bytes,
) -> _Metadata:
    sidecars = hash_sidecars(item, store)
    left_out = {"excluded_channels": sorted(item.file.excluded_channels), "bad_spans": item.file.bad_spans}
    patches_key = store.key(
        content.digest,
        preprocessing=preprocessing.digest(),
        mains_hz=item.dataset.notch_freq(item.file),
        unit_scale=item.dataset.scale(item.file.path),
        reading=item.dataset.read_version(item.file),
        version=SIGNALS,
        **{name: value for name, value in left_out.items() if value},
    )
    stated = item.dataset.label_version(item.file)
    metadata_key = store.key(
        patches_key,
        dataset=item.dataset.name,
        session=identity["session"],
        format=identity["format"],
        companions=sidecars,
        version=[SIGNALS, _metadata_version(), item.dataset.code_version()],
        **({"stated": stated} if stated else {}),
    )

    def confirm_unchanged() -> None:
        """Raise if the files changed since they were hashed: results must not be stored under another content."""
        now = hash_item(item, store)
        if now.digest != content.digest or hash_sidecars(item, store) != sidecars:
            raise _ChangedError

    metadata = store.get_metadata(metadata_key)
    reused = metadata is not None and (
        not metadata["row"].get("store_key")
        or (store.verify(patches_key) and store.get_array(patches_key, PEAKS) is not None)
    )
    if metadata is None or not reused:
        try:
            metadata = process_recording(item, store, patches_key, preprocessing, confirm=confirm_unchanged)
            confirm_unchanged()
        except LabramError:
            raise
        except _ChangedError:
            return _merge(identity, quarantined_row(Reason.UNREADABLE))
        except Exception as error:  # one recording must not stop the ingest of all others
            return _merge(identity, quarantined_row(Reason.UNPROCESSABLE), failure=type(error).__name__)
        store.put_metadata(metadata_key, metadata)
    if metadata["row"].get("seconds"):
        population = item.dataset.population or item.dataset.name
        identity |= origin_columns(read_origin(item.file.path), population, metadata["row"]["seconds"], subject_key)
    identity["warnings"] = [*identity["warnings"], *_contradictions(item.file, metadata["row"])]
    return _merge(identity, metadata, reused=reused)


def _contradictions(file: RecordingFile, row: Mapping[str, Any]) -> list[str]:
    """Return the warnings of a sampling rate and a duration that are not those of the file, beyond rounding."""
    warnings = []
    if file.rate_hz and row.get("rate_hz") and not math.isclose(file.rate_hz, row["rate_hz"], rel_tol=_RATE_TOLERANCE):
        warnings.append("rate_contradicts_sidecar")
    stated, seconds = file.duration_seconds, row.get("seconds")
    gaps = row.get("gap_seconds") or 0.0  # they may be counted or not
    if (
        stated
        and seconds
        and not (math.isclose(stated, seconds, rel_tol=_DURATION_TOLERANCE, abs_tol=_DURATION_SECONDS + gaps))
    ):
        warnings.append("duration_contradicts_sidecar")
    return warnings


def _killed(item: Item, store: Store, subject_key: bytes) -> _Metadata:
    """Return the row of a recording whose worker process died."""
    identity = identity_row(item, hash_item(item, store), subject_key)
    return _merge(identity, quarantined_row(Reason.UNPROCESSABLE), failure="its process was killed")


def _early_reason(item: Item, content: Content) -> Reason | None:
    """Return why a recording need not be read at all; None if it must be read."""
    if item.file.alternate_of is not None:
        return Reason.DUPLICATE_FORMAT
    known = item.file.quarantined or content.quarantined
    return known[0] if known else None


def _merge(identity: dict[str, Any], metadata: dict[str, Any], *, reused: bool = False, failure: str = "") -> _Metadata:
    row = metadata["row"]
    warnings = list(dict.fromkeys([*identity["warnings"], *row.get("warnings", [])]))
    return _Metadata({**identity, **row, "warnings": warnings}, metadata["labels"], reused, failure)


def identity_row(item: Item, content: Content, subject_key: bytes) -> dict[str, Any]:
    """Return the catalogue columns that need no reading of the recording."""
    dataset, file = item.dataset, item.file
    reference = pseudonyms.allowed_reference(file.reference)
    unknown_reference = bool(file.reference) and not reference
    return {
        "recording_id": recording_id(item, content.digest, subject_key),
        "dataset": dataset.name,
        "subject_key": pseudonyms.subject_key(subject_key, dataset.population or dataset.name, item.subject),
        "subject_source": file.subject_source,
        "group_key": pseudonyms.pseudonym(subject_key, dataset.name, "group", item.group) if item.group else "",
        "session": pseudonyms.pseudonym(subject_key, dataset.name, item.subject, file.session),
        "format": file.path.suffix.lower().removeprefix("."),
        "bytes": content.size,
        "content_hash": content.digest,
        "reference": reference or dataset.reference,
        "mains_hz": dataset.line_freq(file),
        "unit_scale": dataset.scale(file.path),
        "max_window_uv": dataset.max_window_uv,
        "seconds": 0,
        "store_key": "",
        "montage": [],
        "warnings": [*file.notes, *["reference_not_understood"] * unknown_reference],
        "split": file.split or "",
    }
