"""Which recordings a corpus has, and the hashes by which their content is known."""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labram.corpus.datasets import find
from labram.corpus.datasets.base import Dataset, Source, walk
from labram.errors import ReadError, Reason
from labram.signals.readers import content_files

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
    source: Source

    @property
    def place(self) -> str:
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
        datasets: See `labram.corpus.datasets.find`.

    Raises:
        CorpusError: If the folder has no recordings, or lacks a named dataset.
    """
    items = [
        Item(dataset, folder, source) for dataset, folder in find(data, datasets) for source in dataset.sources(folder)
    ]
    return sorted(items, key=lambda item: (-_size(item.source.path), item.dataset.name, item.place))


def content(path: Path) -> Content:
    """Hash all files of a recording."""
    try:
        files = tuple(walk(path)) if path.is_dir() else content_files(path)
    except OSError as error:
        return Content("", 0, _unreadable(error))
    except ReadError as error:
        return _content((path,), (error.reason, error.problem))
    return _content(files)


def recording_id(item: Item, digest: str) -> str:
    """Dataset and 12 hexadecimal digits of the hash of content and place: copies of a file differ in it."""
    return f"{item.dataset.name}-{hashlib.sha256(f'{digest}{item.place}'.encode()).hexdigest()[:12]}"


def companions(item: Item) -> str:
    """Hash of the files beside a recording that its labels depend on; files that cannot be read count as absent."""
    digest = hashlib.sha256()
    for path in item.dataset.companions(item.source):
        part = _content((path,))
        digest.update(f"{path.name}\0{part.digest}\0".encode())
    return digest.hexdigest()


def fingerprint(data: Path, datasets: Sequence[str] = ()) -> str:
    """Version of a corpus that nobody versions: changes when a recording, its place or its labels' files do.

    Raises:
        CorpusError: See `scan`.
    """
    parts = (
        f"{recording_id(item, content(item.source.path).digest)} {companions(item)}" for item in scan(data, datasets)
    )
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:32]


def locate(data: Path, datasets: Sequence[str], ids: Collection[str]) -> dict[str, Path]:
    """Paths, relative to `data`, of recordings known by their ids: for showing to people, never for keeping."""
    found = {}
    for item in scan(data, datasets):
        name = recording_id(item, content(item.source.path).digest)
        if name in ids:
            found[name] = item.source.path.relative_to(data)
    return found


def _content(files: Iterable[Path], refusal: tuple[Reason, str] | None = None) -> Content:
    digest, size = hashlib.sha256(), 0
    try:
        for path in files:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
    except OSError as error:
        return Content("", size, _unreadable(error))
    if not size:
        refusal = (Reason.DAMAGED, "the file is empty")
    return Content(digest.hexdigest(), size, refusal)


def _unreadable(error: OSError) -> tuple[Reason, str]:
    return Reason.UNREADABLE, f"the file cannot be read ({error.strerror})"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
