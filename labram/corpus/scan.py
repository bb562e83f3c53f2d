"""Which recordings a corpus has, and the hashes by which their content is known."""

import errno
import hashlib
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labram.corpus import pseudonyms
from labram.datasets import find
from labram.datasets.base import Dataset, RecordingFile, list_files
from labram.errors import ReadError, Reason
from labram.signals.readers import content_files
from labram.store.store import Store

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Item:
    """A recording of a corpus, before it is read.

    Attributes:
        dataset: The adapter.
        folder: The dataset's folder.
        source: The recording.
    """

    dataset: Dataset
    folder: Path
    source: RecordingFile

    @property
    def relative_path(self) -> str:
        """Path relative to the dataset's folder."""
        return self.source.path.relative_to(self.folder).as_posix()


@dataclass(frozen=True)
class Content:
    """What the bytes of a recording are known by.

    Attributes:
        digest: SHA-256 over the recording's files; empty if they cannot be read.
        size: Their size in bytes.
        refusal: Reason code and explanation, if they cannot be read or there is nothing in them.
    """

    digest: str
    size: int
    refusal: tuple[Reason, str] | None = None


def scan(data: Path, datasets: Sequence[str] = ()) -> list[Item]:
    """All recordings of a corpus folder, largest first so that every n-th is a fair share of the work.

    Args:
        data: The corpus folder.
        datasets: See `labram.datasets.find`.

    Raises:
        CorpusError: If the folder has no recordings, or lacks a named dataset.
    """
    items = [
        Item(dataset, folder, source)
        for dataset, folder in find(data, datasets)
        for source in dataset.recordings(folder)
    ]
    return sorted(items, key=lambda item: (-_size(item.source.path), item.dataset.name, item.relative_path))


def hash_content(path: Path, store: Store | None = None) -> Content:
    """Hash all files of a recording.

    Args:
        path: The recording.
        store: Remembers the hashes, so that files that have not changed need not be read again.
    """
    try:
        _require_file(path)
        files = tuple(list_files(path)) if path.is_dir() else content_files(path)
    except OSError as error:
        return Content("", 0, _unreadable(error))
    except ReadError as error:
        return replace(_content((path,), store), refusal=(error.reason, error.problem))
    return _content(files, store)


def recording_id(item: Item, digest: str, key: bytes) -> str:
    """Dataset, 10 hexadecimal digits of the content and 6 of a keyed hash of the place, by which copies differ.

    Whoever lacks the key cannot try names of files on it; and the order of ids, which is that of training, is the same
    under every key. What could not be read has no content and is known by its place alone.
    """
    known = hashlib.sha256(digest.encode()).hexdigest()[:10] if digest else ""
    place = pseudonyms.pseudonym(key, item.dataset.name, digest, item.relative_path, digits=16)
    return f"{item.dataset.name}-{(known + place)[:16]}"


def hash_companions(item: Item, store: Store | None = None) -> str:
    """Hash of the files beside a recording that its labels depend on; files that cannot be read count as absent."""
    digest = hashlib.sha256()
    for path in item.dataset.sidecars(item.source):
        part = _content((path,), store)
        digest.update(f"{path.name}\0{part.digest}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def fingerprint(data: Path, datasets: Sequence[str] = (), store: Store | None = None) -> str:
    """Version of a corpus that nobody versions: changes when a recording, its place or its labels' files do.

    Args:
        data: The corpus folder.
        datasets: See `scan`.
        store: See `content`.

    Raises:
        CorpusError: See `scan`.
    """
    parts = (
        f"{item.dataset.name} {hash_content(item.source.path, store).digest} "
        f"{item.relative_path} {hash_companions(item, store)}"
        for item in scan(data, datasets)
    )
    return hashlib.sha256("\n".join(sorted(parts)).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def locate_recordings(
    data: Path, datasets: Sequence[str], ids: Collection[str], key: bytes, store: Store | None = None
) -> dict[str, Path]:
    """Paths, relative to `data`, of recordings known by their ids: for showing to people, never for keeping."""
    found = {}
    for item in scan(data, datasets):
        name = recording_id(item, hash_content(item.source.path, store).digest, key)
        if name in ids:
            found[name] = item.source.path.relative_to(data)
    return found


def _content(files: Sequence[Path], store: Store | None) -> Content:
    try:
        facts = _read(files) if store is None else store.cached_by_stat(files, lambda: _read(files))
    except OSError as error:
        return Content("", 0, _unreadable(error))
    return Content(**facts, refusal=None if facts["size"] else (Reason.DAMAGED, "the file is empty"))


def _read(files: Sequence[Path]) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    for path in files:
        _require_file(path)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    return {"digest": digest.hexdigest(), "size": size}


def _require_file(path: Path) -> None:
    """Raise `OSError` for a pipe or a device under the name of a file: reading one could last for ever."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "a pipe or a device")


def _unreadable(error: OSError) -> tuple[Reason, str]:
    return Reason.UNREADABLE, f"the file cannot be read ({error.strerror})"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
