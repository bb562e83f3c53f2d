"""Ingest of a folder into a store without a pipeline, and the corpora of a store.

A corpus is stored under a keyed hash of its folder's path. A folder that is ingested again replaces its own catalogue,
and no folder name is stored.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from labram.corpus import pseudonyms
from labram.corpus.catalogue import Corpus
from labram.corpus.ingest import ingest
from labram.corpus.quality import Summary, check_quality, count_lost, summarise
from labram.datasets.subjects import Proposal
from labram.errors import CorpusError, ReadError
from labram.events import Monitor
from labram.recipe import Recipe
from labram.scratch_folder import scratch_folder
from labram.signals.lost_channels import lost_channels
from labram.signals.readers import read
from labram.signals.readers.isolated_reader import ReaderFailed
from labram.store.patch_file import wrap_write_errors
from labram.store.store import CORPORA, Store


@dataclass(frozen=True)
class LostChannels:
    """Recordings of one dataset and montage that lost equally many channels.

    Attributes:
        recordings: Their number.
        channels: Channels that each lost.
        example: Path of one of them, relative to the corpus folder.
        labels: Labels of its lost channels; empty if only the dataset's adapter can read the file.
    """

    recordings: int
    channels: int
    example: Path
    labels: Sequence[str]


@dataclass(frozen=True)
class FolderIngest:
    """Result of `ingest_folder`.

    Attributes:
        corpus: The quality-checked corpus.
        summary: Its counts.
        quarantined: Path, relative to the corpus folder, and reason codes of each quarantined recording. The paths are
            for display only, never to be stored.
        lost: Channels that look like EEG and were left out, by montage. For display only.
        reused: Recordings whose metadata was in the store.
        unused: Names of folders and files with EEG that belong to no dataset in use. For display only.
        seconds: Duration of the ingest.
        proposal: Subjects that are guessed from names; None if all are stated. For display only.
        published: Whether the store has this catalogue. One without accepted recordings does not replace one with some.
    """

    corpus: Corpus
    summary: Summary
    quarantined: Sequence[tuple[Path, Sequence[str]]]
    lost: Sequence[LostChannels]
    reused: int
    unused: Sequence[str]
    seconds: float
    proposal: Proposal | None = None
    published: bool = True


def ingest_folder(
    data: Path, datasets: Sequence[str], store: Store, *, recipe: Recipe, workers: int, monitor: Monitor
) -> FolderIngest:
    """Ingest a corpus folder, check its quality, and publish its catalogue in the store.

    If several processes ingest the same folder, one does the work and the others reuse its results.

    Args:
        data: The corpus folder.
        datasets: See `labram.datasets.find`.
        store: Receives patches, metadata and the catalogue.
        recipe: Its sections `preprocessing`, `quality` and `split`, and its seed.
        workers: Processes that work at the same time.
        monitor: Receives progress.

    Raises:
        CorpusError: If the folder has no recordings, or lacks a named dataset.
        StoreError: If the store cannot be written.
        PlatformError: If the store is a bucket and there is no key of subject names.
    """
    started = time.monotonic()
    key = pseudonyms.load_key(store.root, shared=store.is_bucket)
    name = pseudonyms.pseudonym(key, CORPORA, str(data.resolve()), *datasets)
    with _lock(store, name, monitor), scratch_folder() as scratch:
        part, checked = scratch / "part", scratch / "checked"
        done = ingest(
            data,
            datasets,
            part,
            store=store,
            preprocessing=recipe.preprocessing,
            shard=0,
            shards=1,
            subject_key=key,
            monitor=monitor,
            workers=workers,
            subject=recipe.corpus.subject,
        )
        summary = _check_quality(part, checked, store, recipe)
        corpus = Corpus.load(checked)
        published = bool(summary.accepted) or not _has_usable_catalogue(store, name)
        if published:
            store.publish(checked, name)
    rows = corpus.quarantined()
    reasons = dict(zip(rows["recording_id"], rows["reasons"], strict=True))
    return FolderIngest(
        corpus=corpus,
        summary=summary,
        quarantined=sorted((done.paths[recording], codes) for recording, codes in reasons.items()),
        lost=_lost(data, corpus, done.paths),
        reused=done.reused,
        unused=done.unused,
        seconds=time.monotonic() - started,
        proposal=done.proposal,
        published=published,
    )


def _has_usable_catalogue(store: Store, name: str) -> bool:
    """Return whether the store has a catalogue of that name with accepted recordings."""
    try:
        return any(folder.name == name and len(Corpus.load(folder).accepted()) for folder in store.corpora())
    except CorpusError:
        return False


def _lost(data: Path, corpus: Corpus, paths: Mapping[str, Path]) -> list[LostChannels]:
    """Return the channels that were lost, by montage; labels are read again, since no artifact may hold them."""
    rows = corpus.catalogue
    rows = rows.assign(lost=rows["warnings"].map(count_lost), names=rows["montage"].map(tuple))
    lost = []
    for (_, _, channels), group in rows[rows["lost"] > 0].groupby(["dataset", "names", "lost"]):
        example = min(paths[recording] for recording in group["recording_id"])
        lost.append(LostChannels(len(group), int(str(channels)), example, _lost_labels(data / example)))
    return lost


def _lost_labels(path: Path) -> tuple[str, ...]:
    try:
        return lost_channels(read(path).channels)
    except (ReadError, ReaderFailed, OSError):  # it was readable before; only its labels are not shown
        return ()


def run_corpus(store: Store) -> Path | None:
    """Return the folder of the newest corpus of `labram run` in the workspace that holds a store; None if none."""
    if store.is_bucket:
        return None
    folders = store.root.parent.glob("pipeline/*/quality/corpus")
    return max(folders, key=lambda folder: folder.stat().st_mtime, default=None)


def published_corpora(store: Store) -> Mapping[str, Corpus]:
    """Return the published corpora of a store by name.

    Raises:
        StoreError: If the store is a bucket that is unreachable.
        CorpusError: If a catalogue is damaged or of another version of labram.
    """
    return {folder.name: Corpus.load(folder) for folder in store.corpora()}


def quarantined_entries(store: Store) -> set[str]:
    """Return the keys of entries whose recordings some published corpus quarantines and none accepts.

    Raises:
        StoreError, CorpusError: See `published_corpora`.
    """
    corpora = published_corpora(store).values()
    accepted = {key for corpus in corpora for key in corpus.accepted()["store_key"]}
    return {key for corpus in corpora for key in corpus.quarantined()["store_key"] if key} - accepted


@contextmanager
def _lock(store: Store, name: str, monitor: Monitor) -> Iterator[None]:
    file_lock = FileLock(store.root / CORPORA / f".{name}.lock")
    with wrap_write_errors(store.location):
        Path(file_lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        try:
            file_lock.acquire(timeout=0)
        except Timeout:
            monitor.note("another process ingests this folder; waiting for its results")
            file_lock.acquire()
    try:
        yield
    finally:
        file_lock.release()


def _check_quality(part: Path, out: Path, store: Store, recipe: Recipe) -> Summary:
    """Check the quality; return counts also for a corpus in which no recording is accepted."""
    try:
        return check_quality([part], out, recipe.quality, recipe.split, store=store, seed=recipe.seed)
    except CorpusError:
        if not out.exists():
            raise
        return summarise(Corpus.load(out))
