"""Corpora of a store: folders that are ingested and judged without the DAG, and what the store then has.

Each corpus is known in the store by a keyed hash of its folder, so a folder that is taken in again replaces its own
catalogue, and no folder's name is kept.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock, Timeout

from labram.corpus import pseudonyms
from labram.corpus.catalogue import Corpus
from labram.corpus.ingest import ingest
from labram.corpus.quality import Summary, check_quality, summarise
from labram.errors import CorpusError
from labram.events import Monitor
from labram.recipe import Recipe
from labram.store.patch_file import wrap_write_errors
from labram.store.store import CORPORA, Store


@dataclass(frozen=True)
class FolderIngest:
    """What `ingest_folder` did.

    Attributes:
        corpus: The judged corpus.
        summary: Its counts.
        quarantined: Of each recording in quarantine, the path relative to the corpus folder, for showing to people and
            never for keeping, and the reason codes.
        reused: Recordings whose content was known, so nothing was done.
        unused: Folders and files of EEG that belong to no dataset in use; names for showing too.
        seconds: How long it took.
    """

    corpus: Corpus
    summary: Summary
    quarantined: Sequence[tuple[Path, Sequence[str]]]
    reused: int
    unused: Sequence[str]
    seconds: float


def ingest_folder(
    data: Path, datasets: Sequence[str], store: Store, *, recipe: Recipe, workers: int, monitor: Monitor
) -> FolderIngest:
    """Ingest and judge a corpus folder, and publish its catalogue in the store.

    Of several processes that take in the same folder at once, one does the work and the others find it done.

    Args:
        data: The corpus folder.
        datasets: See `labram.datasets.find`.
        store: Gets patches, facts and the catalogue.
        recipe: Its sections `preprocessing`, `quality` and `split`, and its seed.
        workers: Processes that work at the same time.
        monitor: Is told of each recording.

    Raises:
        CorpusError: If the folder has no recordings, or lacks a named dataset.
        StoreError: If the store cannot be written.
        PlatformError: If the store is a bucket and there is no key of subject names.
    """
    started = time.monotonic()
    key = pseudonyms.load_key(store.root, shared=store.is_bucket)
    name = pseudonyms.pseudonym(key, CORPORA, str(data.resolve()), *datasets)
    with _alone(store, name, monitor), TemporaryDirectory() as scratch:
        part, judged = Path(scratch, "part"), Path(scratch, "judged")
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
        )
        summary = _judged(part, judged, recipe)
        store.publish(judged, name)
        corpus = Corpus.load(judged)
    refused = corpus.quarantined()
    reasons = dict(zip(refused["recording_id"], refused["reasons"], strict=True))
    return FolderIngest(
        corpus=corpus,
        summary=summary,
        quarantined=sorted((done.paths[recording], codes) for recording, codes in reasons.items()),
        reused=done.reused,
        unused=done.unused,
        seconds=time.monotonic() - started,
    )


def published_corpora(store: Store) -> Mapping[str, Corpus]:
    """The judged corpora that a store has, by their names in it.

    Raises:
        StoreError: If the store is a bucket that does not answer.
        CorpusError: If a catalogue is damaged or of another version of labram.
    """
    return {folder.name: Corpus.load(folder) for folder in store.corpora()}


@contextmanager
def _alone(store: Store, name: str, monitor: Monitor) -> Iterator[None]:
    lock = FileLock(store.root / CORPORA / f".{name}.lock")
    with wrap_write_errors(store.location):
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            monitor.note("another ingest of this folder is at work; waiting for what it finds")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _judged(part: Path, out: Path, recipe: Recipe) -> Summary:
    """Counts of the judged corpus, also of one in which nothing can be used."""
    try:
        return check_quality([part], out, recipe.quality, recipe.split, seed=recipe.seed)
    except CorpusError:
        if not out.exists():
            raise
        return summarise(Corpus.load(out))
