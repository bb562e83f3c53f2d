"""Find a recording by its id or its file: what reports name by an id, its owner finds as a path, and back.

Results have paths: they are for the terminal only, never to be stored.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from labram.corpus.catalogue import Corpus
from labram.corpus.reasons import explain
from labram.corpus.scan import Item, hash_item, recording_id, scan
from labram.errors import CorpusError
from labram.store.store import Store

_DIGITS = 16
"""Hexadecimal digits of the path in an id."""


@dataclass(frozen=True)
class FoundRecording:
    """A recording of a corpus folder.

    Attributes:
        path: Its path, relative to the folder, with its part if the file holds several recordings.
        ids: Its ids, one for each key of subjects.
        verdict: accepted or quarantined; empty: in no catalogue.
        split: train, validation or test; empty: none.
        findings: Reasons and warnings, with what to do about them.
    """

    path: str
    ids: tuple[str, ...]
    verdict: str
    split: str
    findings: tuple[str, ...]


def find_recording(
    what: str, data: Path, keys: Sequence[bytes], catalogues: Collection[Corpus], store: Store | None = None
) -> list[FoundRecording]:
    """Return the recordings of an id, a path, a file name or a name without suffix.

    Args:
        what: The id, path or name.
        data: The corpus folder.
        keys: Keys of subjects, on which ids depend: of workspace and store.
        catalogues: Catalogues to look for verdicts in, the newest last.
        store: Caches hashes of unchanged files.

    Raises:
        CorpusError: If the folder has no such recording.
    """
    found = list(_matching(what, data, keys, store))
    if not found:
        raise CorpusError(
            f"no recording {what!r}",
            file=data,
            remedy="Pass an id of a report made from this folder, or the path or name of a file in it",
        )
    rows = {str(row["recording_id"]): row for corpus in catalogues for row in corpus.catalogue.to_dict("records")}
    return [_described(item, ids, data, rows) for item, ids in found]


def _matching(
    what: str, data: Path, keys: Sequence[bytes], store: Store | None
) -> Iterator[tuple[Item, tuple[str, ...]]]:
    for item in scan(data):
        place = item.file.path.relative_to(data).as_posix()
        named = _is_named(what, place)
        if not named and not what.startswith(f"{item.dataset.name}-"):
            continue
        digest = hash_item(item, store).digest
        ids = tuple(dict.fromkeys(recording_id(item, digest, key) for key in keys))
        if named or what in ids:
            yield item, ids


def _is_named(what: str, place: str) -> bool:
    path = PurePosixPath(place)
    wanted = what.removeprefix("./")
    return wanted in (place, path.name, path.stem) or place.endswith(f"/{wanted}")


def _described(item: Item, ids: tuple[str, ...], data: Path, rows: Mapping[str, Mapping[Any, Any]]) -> FoundRecording:
    place = item.file.path.relative_to(data).as_posix()
    row = next((rows[each] for each in ids if each in rows), None)
    part = f" ({item.file.part})" if item.file.trials is not None else ""
    if row is None:
        return FoundRecording(f"{place}{part}", ids, "", "", ())
    findings = []
    for code in (*row["reasons"], *row["warnings"]):
        name, _, count = str(code).partition("=")
        text = explain(name)
        findings.append(f"{name}{f' ({count})' if count else ''}: {text.meaning}; {text.remedy}")
    return FoundRecording(f"{place}{part}", ids, str(row["verdict"]), str(row["split"] or ""), tuple(findings))
