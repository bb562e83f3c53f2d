"""Ingest: each recording once through reading, filters and figures, into the store and the catalogue.

A recording that cannot be used is a row like any other, with a reason code. What was found out about some content is
kept in the store, patches and facts alike, so that ingesting it again costs its hash.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labram.corpus import datasets as adapters
from labram.corpus import measure, privacy
from labram.corpus.catalogue import ACCEPTED, QUARANTINED, Corpus
from labram.corpus.datasets.base import Interval
from labram.corpus.scan import Content, Item, companions, content, recording_id, scan
from labram.corpus.store import RATE_HZ, Store, to_patches
from labram.errors import LabelError, LabramError, ReadError, Reason
from labram.events import Monitor
from labram.recipe import PreprocessingRecipe
from labram.signals import filters
from labram.signals.electrodes import canonical_names
from labram.signals.readers import read
from labram.signals.recording import Recording

log = logging.getLogger(__name__)


def _version() -> str:
    """Changes with the code that facts depend on: readers and filters, adapters, and this room's figures."""
    digest = hashlib.sha256(filters.VERSION.encode())
    folder = Path(adapters.__file__).parent
    for path in (*sorted(folder.glob("*.py")), Path(measure.__file__), Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


VERSION = _version()


@dataclass(frozen=True)
class Ingested:
    """What one shard of an ingest did.

    Attributes:
        recordings: Rows written.
        refused: Those that are quarantined already, before any rule of quality.
        reused: Those whose content was known.
        seconds: Length of the others together, in seconds of EEG.
        unused: Folders of the corpus with EEG files that the recipe uses in no dataset.
    """

    recordings: int
    refused: int
    reused: int
    seconds: int
    unused: tuple[str, ...]

    def __str__(self) -> str:
        text = f"{self.recordings} recordings, {self.reused} of them known already, {self.refused} refused"
        return f"{text}; folders not used: {', '.join(self.unused)}" if self.unused else text


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
) -> Ingested:
    """Ingest every `shards`-th recording of a corpus folder.

    Args:
        data: The corpus folder.
        datasets: Adapters to use; empty: those that recognise it (see `labram.corpus.datasets.find`).
        out: Folder for this shard's catalogue and labels.
        store: Where patches go.
        preprocessing: Filters.
        shard: Which share, from 0.
        shards: How many shares there are.
        subject_key: Key of subject names (see `labram.corpus.privacy.load_key`).
        monitor: Is told of each recording.

    Returns:
        Counts. The tables are in `out`; `labram.corpus.quality.judge` makes a corpus of them.

    Raises:
        CorpusError: If the folder has no recordings, or lacks a named dataset.
        StoreError: If the store cannot be written.
    """
    items = scan(data, datasets)
    mine = items[shard::shards]
    rows: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    reused = 0
    for done, item in enumerate(mine, start=1):
        facts, known = _facts(item, store, preprocessing, subject_key)
        rows.append(facts["row"])
        labels += ({**label, "recording_id": facts["row"]["recording_id"]} for label in facts["labels"])
        reused += known
        monitor.progress(done, len(mine), reused=reused)
    corpus = Corpus.of(rows, labels)
    corpus.save(out)
    return Ingested(
        recordings=len(rows),
        refused=len(corpus.quarantined()),
        reused=reused,
        seconds=int(corpus.accepted()["seconds"].sum()),
        unused=tuple(adapters.unused(data, [(item.dataset, item.folder) for item in items])),
    )


def _facts(
    item: Item, store: Store, preprocessing: PreprocessingRecipe, subject_key: bytes
) -> tuple[dict[str, Any], bool]:
    """Row and labels of a recording, and whether they were known."""
    held = content(item.source.path)
    identity = _identity(item, held, subject_key)
    if item.source.alternate_of is not None:
        return _refused(identity, Reason.DUPLICATE_FORMAT), False
    refusal = item.source.refusal or held.refusal
    if refusal is not None:
        return _refused(identity, refusal[0]), False
    patches_key = store.key(
        held.digest,
        preprocessing=preprocessing.digest(),
        mains_hz=item.dataset.mains_hz,
        unit_scale=item.dataset.scale(item.source.path),
        version=filters.VERSION,
    )
    facts_key = store.key(
        patches_key,
        dataset=item.dataset.name,
        session=identity["session"],
        format=identity["format"],
        companions=companions(item),
        version=VERSION,
    )
    found = store.noted(facts_key)
    known = found is not None and (not found["row"].get("store_key") or store.intact(patches_key))
    if found is None or not known:
        try:
            found = _examine(item, store, patches_key, preprocessing)
        except LabramError:
            raise
        except Exception as error:  # one recording must not end the ingest of all others
            # Neither the file's name nor the traceback, which may quote it, belongs in a log.
            log.error("%s made labram fail: %s", identity["recording_id"], type(error).__name__)  # noqa: TRY400
            return _refused(identity, Reason.UNPROCESSABLE), False
        store.note(facts_key, found)
    return {"row": {**identity, **found["row"]}, "labels": found["labels"]}, known


def _identity(item: Item, held: Content, subject_key: bytes) -> dict[str, Any]:
    """Columns that are known without reading the recording."""
    dataset, source = item.dataset, item.source
    return {
        "recording_id": recording_id(item, held.digest),
        "dataset": dataset.name,
        "subject_key": privacy.subject_key(subject_key, dataset.name, source.subject),
        "session": privacy.pseudonym(subject_key, dataset.name, source.subject, source.session),
        "format": source.path.suffix.lower().removeprefix("."),
        "bytes": held.size,
        "content_hash": held.digest,
        "reference": dataset.reference,
        "mains_hz": dataset.mains_hz,
        "unit_scale": dataset.scale(source.path),
        "seconds": 0,
        "store_key": "",
        "montage": [],
        "warnings": [],
        "split": "",
    }


def _refused(row: dict[str, Any], reason: Reason) -> dict[str, Any]:
    return {"row": {**row, "verdict": QUARANTINED, "reasons": [reason.value]}, "labels": []}


def _examine(item: Item, store: Store, key: str, preprocessing: PreprocessingRecipe) -> dict[str, Any]:
    """Row and labels of a recording, from its signals."""
    try:
        recording = read(item.source.path, unit_scale=item.dataset.scale(item.source.path))
        picks, montage = _montage(recording)
        patches, clipped = _patches(recording, picks, item.dataset.mains_hz, preprocessing)
    except ReadError as error:
        return _refused({}, error.reason)
    if not store.intact(key):
        store.write(key, patches, montage)
    intervals, warnings = _labels(item, recording, len(patches))
    sd = measure.channel_sd(patches)
    row = {
        "montage": list(montage),
        "dropped": len(recording.channels) - len(montage),
        "rate_hz": recording.rate,
        "seconds": len(patches),
        "store_key": key,
        "sd_uv": sd.tolist(),
        "median_sd_uv": float(np.median(sd)),
        "max_sd_uv": float(sd.max()),
        "clipped_samples": clipped,
        "line_noise_ratio": measure.line_noise_ratio(recording.data[picks], recording.rate, item.dataset.mains_hz),
        "psd_slope": measure.psd_slope(patches),
        "gap_seconds": recording.gap_seconds,
        "verdict": ACCEPTED,
        "reasons": [],
        "warnings": [*recording.notes, *warnings],
    }
    return {"row": row, "labels": intervals}


def _montage(recording: Recording) -> tuple[list[int], tuple[str, ...]]:
    """Channels of the model's table: where they are in the file, and their canonical names."""
    names = canonical_names(recording.channels)
    picks = [index for index, name in enumerate(names) if name]
    if not picks:
        raise ReadError(
            "has no channel of the model's table",
            reason=Reason.NO_CANONICAL_CHANNELS,
            remedy="Rename its channels to those of the 10-10 system",
        )
    return picks, tuple(name for name in names if name)


def _patches(
    recording: Recording, picks: Sequence[int], mains_hz: float, preprocessing: PreprocessingRecipe
) -> tuple[NDArray[np.float16], int]:
    signal = filters.preprocess(
        recording,
        picks,
        mains_hz=mains_hz,
        high_pass_hz=preprocessing.high_pass_hz,
        low_pass_hz=preprocessing.low_pass_hz,
        notch=preprocessing.notch,
    )
    assert signal.shape[1] % RATE_HZ == 0, "preprocess gives whole seconds"
    return to_patches(signal)


def _labels(item: Item, recording: Recording, seconds: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Labels within the recording, and warnings of what had to be left out."""
    try:
        intervals = item.dataset.labels(item.source, recording)
    except LabelError:
        return [], [Reason.MISSING_LABEL.value]
    left_out = Counter(f"excluded_{interval.excluded}" for interval in intervals if interval.excluded)
    kept = []
    for interval in intervals:
        if interval.excluded:
            continue
        length = min(interval.seconds, seconds - interval.start)
        if interval.start < 0 or length <= 0:
            left_out["excluded_beyond_recording"] += 1
            continue
        kept.append(_label(interval, length))
    return kept, [f"{reason}={count}" for reason, count in sorted(left_out.items())]


def _label(interval: Interval, seconds: float) -> dict[str, Any]:
    return {"task": interval.task, "start": interval.start, "seconds": seconds, "label": list(interval.label)}
