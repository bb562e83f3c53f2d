"""Ingest: each recording once through reading, filters and figures, into the store and the catalogue.

A recording that cannot be used is a row like any other, with a reason code. What was found out about some content is
kept in the store, patches and facts alike, so that ingesting it again costs its hash.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from labram import datasets as adapters
from labram.corpus import pseudonyms
from labram.corpus.catalogue import Corpus
from labram.corpus.process_pool import map_unordered
from labram.corpus.process_recording import process_recording, quarantined_row
from labram.corpus.scan import Content, Item, hash_companions, hash_content, recording_id, scan
from labram.errors import LabramError, Reason
from labram.events import Monitor
from labram.recipe import PreprocessingRecipe
from labram.signals.version import VERSION as SIGNALS
from labram.source_hash import code
from labram.store.store import Store

log = logging.getLogger(__name__)


_FACTS = ("process_recording", "signal_metrics", "pseudonyms", "spectra", "ingest")


@cache
def _version() -> str:
    """Changes with what facts depend on: readers and filters, and the code of adapters and of this room's figures."""
    digest = hashlib.sha256(SIGNALS.encode())
    folder = Path(adapters.__file__).parent
    for path in (*sorted(folder.glob("*.py")), *(Path(__file__).with_name(f"{name}.py") for name in _FACTS)):
        digest.update(code(path))
    return digest.hexdigest()[:12]


@dataclass(frozen=True)
class IngestResult:
    """What one shard of an ingest did.

    Attributes:
        recordings: Rows written.
        quarantined: Those that are quarantined already, before any rule of quality.
        reused: Those whose content was known.
        seconds: Length of the others together, in seconds of EEG.
        unused: Folders and files of EEG at the top of the corpus that the recipe uses in no dataset. Names for showing
            to people, never for keeping.
        places: Path of each recording, relative to the corpus folder, by its id; for showing too.
    """

    recordings: int
    quarantined: int
    reused: int
    seconds: int
    unused: tuple[str, ...]
    places: Mapping[str, Path]

    def __str__(self) -> str:
        text = f"{self.recordings} recordings, {self.reused} of them known already, {self.quarantined} quarantined"
        return f"{text}; {len(self.unused)} folders or files of EEG are of no dataset in use" if self.unused else text


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
) -> IngestResult:
    """Ingest every `shards`-th recording of a corpus folder.

    Args:
        data: The corpus folder.
        datasets: Adapters to use; empty: those that recognise it (see `labram.datasets.find`).
        out: Folder for this shard's catalogue and labels.
        store: Where patches go.
        preprocessing: Filters.
        shard: Which share, from 0.
        shards: How many shares there are.
        subject_key: Key of subject names (see `labram.corpus.pseudonyms.load_key`).
        monitor: Is told of each recording.
        workers: Processes that work at the same time. A recording that ends its process, by what it does to a library
            or to memory, is refused like others that cannot be used; 0, which is for tests, has nothing to end but
            the process that calls.

    Returns:
        Counts. The tables are in `out`; `labram.corpus.quality.check_quality` makes a corpus of them.

    Raises:
        CorpusError: If the folder has no recordings, or lacks a named dataset.
        StoreError: If the store cannot be written.
    """
    store.gc()
    items = scan(data, datasets)
    if preprocessing.compatibility == "published":
        items = [replace(item, dataset=item.dataset.as_published()) for item in items]
    mine = items[shard::shards]
    work = partial(_facts, store=store, preprocessing=preprocessing, subject_key=subject_key)
    found: dict[int, _Facts] = {}
    reused = 0
    for place, done in map_unordered(work, mine, workers=workers):
        facts = found[place] = done or _killed(mine[place], store, subject_key)
        if facts.failure:
            # Neither the file's name nor a traceback, which may quote it, belongs in a log.
            log.error("%s made labram fail: %s", facts.row["recording_id"], facts.failure)
        reused += facts.known
        monitor.progress(len(found), len(mine), reused=reused)
    everything = [found[place] for place in range(len(mine))]
    corpus = Corpus.of(
        [facts.row for facts in everything],
        [{**label, "recording_id": facts.row["recording_id"]} for facts in everything for label in facts.labels],
    )
    corpus.save(out)
    return IngestResult(
        recordings=len(everything),
        quarantined=len(corpus.quarantined()),
        reused=reused,
        seconds=int(corpus.accepted()["seconds"].sum()),
        unused=tuple(adapters.unused(data, [(item.dataset, item.folder) for item in items])),
        places={
            facts.row["recording_id"]: item.source.path.relative_to(data)
            for facts, item in zip(everything, mine, strict=True)
        },
    )


class _ChangedError(Exception):
    """A recording, or what its labels depend on, is not any more what it was when it was hashed."""


class _Facts(NamedTuple):
    """What is known of a recording.

    Attributes:
        row: Of the catalogue.
        labels: Rows without `recording_id`.
        known: Whether it was known before.
        failure: What kind of failure the recording caused; empty for all that are accepted or refused as they should.
    """

    row: dict[str, Any]
    labels: list[dict[str, Any]]
    known: bool = False
    failure: str = ""


def _facts(item: Item, *, store: Store, preprocessing: PreprocessingRecipe, subject_key: bytes) -> _Facts:
    held = hash_content(item.source.path, store)
    identity = _identity(item, held, subject_key)
    refusal = _refusal(item, held)
    if refusal is not None:
        facts_key = store.key(identity["recording_id"], refusal=refusal.value)
        known = store.get_metadata(facts_key) is not None
        if not known:
            store.put_metadata(facts_key, quarantined_row(refusal))
        return _together(identity, quarantined_row(refusal), known=known)
    beside = hash_companions(item, store)
    patches_key = store.key(
        held.digest,
        preprocessing=preprocessing.digest(),
        mains_hz=item.dataset.notch_freq(item.source),
        unit_scale=item.dataset.scale(item.source.path),
        reading=item.dataset.reading(item.source),
        version=SIGNALS,
    )
    facts_key = store.key(
        patches_key,
        dataset=item.dataset.name,
        session=identity["session"],
        format=identity["format"],
        companions=beside,
        version=_version(),
    )

    def confirm() -> None:
        """What is kept under the hash of some content must not come from another."""
        if hash_content(item.source.path, store).digest != held.digest or hash_companions(item, store) != beside:
            raise _ChangedError

    found = store.get_metadata(facts_key)
    known = found is not None and (not found["row"].get("store_key") or store.verify(patches_key))
    if found is None or not known:
        try:
            found = process_recording(item, store, patches_key, preprocessing, confirm=confirm)
            confirm()
        except LabramError:
            raise
        except _ChangedError:
            return _together(identity, quarantined_row(Reason.UNREADABLE))
        except Exception as error:  # one recording must not end the ingest of all others
            return _together(identity, quarantined_row(Reason.UNPROCESSABLE), failure=type(error).__name__)
        store.put_metadata(facts_key, found)
    return _together(identity, found, known=known)


def _killed(item: Item, store: Store, subject_key: bytes) -> _Facts:
    """What is left to say of a recording whose process died."""
    identity = _identity(item, hash_content(item.source.path, store), subject_key)
    return _together(identity, quarantined_row(Reason.UNPROCESSABLE), failure="its process was killed")


def _refusal(item: Item, held: Content) -> Reason | None:
    """Why a recording need not be read at all."""
    if item.source.alternate_of is not None:
        return Reason.DUPLICATE_FORMAT
    refusal = item.source.quarantined or held.refusal
    return refusal[0] if refusal else None


def _together(identity: dict[str, Any], found: dict[str, Any], *, known: bool = False, failure: str = "") -> _Facts:
    return _Facts({**identity, **found["row"]}, found["labels"], known, failure)


def _identity(item: Item, held: Content, subject_key: bytes) -> dict[str, Any]:
    """Columns that are known without reading the recording."""
    dataset, source = item.dataset, item.source
    return {
        "recording_id": recording_id(item, held.digest, subject_key),
        "dataset": dataset.name,
        "subject_key": pseudonyms.subject_key(subject_key, dataset.population or dataset.name, source.subject),
        "session": pseudonyms.pseudonym(subject_key, dataset.name, source.subject, source.session),
        "format": source.path.suffix.lower().removeprefix("."),
        "bytes": held.size,
        "content_hash": held.digest,
        "reference": pseudonyms.allowed_reference(source.reference) or dataset.reference,
        "mains_hz": dataset.line_freq(source),
        "unit_scale": dataset.scale(source.path),
        "seconds": 0,
        "store_key": "",
        "montage": [],
        "warnings": [],
        "split": source.split or "",
    }
