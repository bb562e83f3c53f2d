"""The recordings of a corpus folder, and the content hashes that identify them."""

import errno
import hashlib
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labram.corpus import pseudonyms
from labram.datasets import find, subjects
from labram.datasets.base import Dataset, RecordingFile, list_files
from labram.datasets.containment import lies_inside
from labram.errors import CorpusError, ReadError, Reason
from labram.signals.readers import content_files, require_content
from labram.signals.readers.limits import is_sparse
from labram.store.store import Store

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Item:
    """A recording of a corpus, before it is read.

    Attributes:
        dataset: The adapter.
        folder: The dataset's folder.
        file: The recording.
        root: The dataset's folder relative to the corpus folder, where equal IDs in two folders are different subjects;
            else empty.
    """

    dataset: Dataset
    folder: Path
    file: RecordingFile
    root: str = ""

    @property
    def corpus(self) -> Path:
        """The corpus folder, which links must not leave."""
        return self.dataset.corpus or self.folder

    @property
    def relative_path(self) -> str:
        """Path relative to the dataset's folder."""
        return self.file.path.relative_to(self.folder).as_posix()

    @property
    def place(self) -> str:
        """Path relative to the dataset's folder, or to the corpus folder where the dataset's folder matters."""
        return f"{self.root}/{self.relative_path}" if self.root else self.relative_path

    @property
    def group(self) -> str:
        """What must stay together in one split (see `RecordingFile.group`); empty: the subject alone."""
        return f"{self.root}\0{self.file.group}" if self.root and self.file.group else self.file.group

    @property
    def subject(self) -> str:
        """The subject's own ID, with the dataset's folder where the ID is valid in this folder only."""
        return f"{self.root}\0{self.file.subject}" if self.root else self.file.subject


@dataclass(frozen=True)
class Content:
    """Hash and size of a recording's files.

    Attributes:
        digest: SHA-256 over the files; empty if they cannot be read.
        size: Total size in bytes.
        quarantined: Reason code and explanation if the files are unreadable, empty or sparse.
    """

    digest: str
    size: int
    quarantined: tuple[Reason, str] | None = None


_SPARSE = (Reason.DAMAGED, "next to nothing of the file was ever written")
_OUTSIDE = Content("", 0, (Reason.OUTSIDE, "a link leads out of the corpus folder"))


def scan(data: Path, datasets: Sequence[str] = (), subject: str = "", *, labelled: bool = True) -> list[Item]:
    """Return all recordings of a corpus folder, largest first, so that every n-th is an equal share of the work.

    Args:
        data: The corpus folder.
        datasets: See `labram.datasets.find`.
        subject: Pattern of the subjects of recordings whose dataset does not state them (recipe: `corpus.subject`).
        labelled: Whether tables of labels, groups and splits are read; predictions do not need them.

    Raises:
        CorpusError: If the folder has no recordings, or lacks a named dataset, or the pattern does not match.
    """
    items = [
        Item(dataset, folder, file, _root(dataset, folder, data))
        for found, folder in find(data, datasets)
        for dataset in [(found if labelled else found.without_labels()).within(data)]
        for file in dataset.recordings(folder)
    ]
    if subject:
        items = [_stated(item, data, subject) for item in items]
    return sorted(items, key=lambda item: (-_size(item.file.path), item.dataset.name, item.relative_path))


def propose_subjects(items: Sequence[Item], data: Path) -> subjects.Proposal | None:
    """Return what the names of recordings of guessed subjects suggest; None if all subjects are stated."""
    guessed = [item for item in items if item.file.subject_source == "guessed" and not item.file.quarantined]
    paths = [item.file.path.relative_to(data).as_posix() for item in guessed]
    return subjects.propose(paths) if paths else None


def require_stated_subjects(items: Sequence[Item], data: Path, task: str, dataset: str) -> None:
    """Check that the recordings of a task's dataset have stated subjects.

    Raises:
        CorpusError: If some are guessed: a subject might be in two splits.
    """
    proposal = propose_subjects([item for item in items if item.dataset.name == dataset], data)
    if proposal is not None:
        raise CorpusError(
            f"the subjects of {sum(proposal.recordings.values())} recordings of task {task!r} are guessed from names "
            f"({proposal.counts})",
            field=subjects.FIELD,
            remedy=proposal.remedy,
        )


def hash_content(path: Path, store: Store | None = None, corpus: Path | None = None) -> Content:
    """Hash all files of a recording.

    Args:
        path: The recording.
        store: Caches hashes of unchanged files.
        corpus: The corpus folder: a recording with a file outside it is not read. None: any place.
    """
    try:
        files = _own_files(path, corpus)
    except OSError as error:
        return Content("", 0, _unreadable(error))
    except ReadError as error:
        return replace(_content((path,), store), quarantined=(error.reason, error.problem))
    return _OUTSIDE if files is None else _content(files, store)


def why_not_read(path: Path, corpus: Path) -> tuple[Reason, str] | None:
    """Return why the files of a recording are not read, as `hash_content` does without reading them; None: they are."""
    try:
        files = _own_files(path, corpus)
        for file in files or ():
            _require_file(file)
        if files is not None:
            return _SPARSE if any(map(is_sparse, files)) else None
    except OSError as error:
        return _unreadable(error)
    except ReadError as error:
        return error.reason, error.problem
    return _OUTSIDE.quarantined


def hash_item(item: Item, store: Store | None = None) -> Content:
    """Hash all files of a recording, and which part of them it is."""
    content = hash_content(item.file.path, store, item.corpus)
    if not item.file.part or not content.digest:
        return content
    digest = hashlib.sha256(f"{content.digest}\0{item.file.part}".encode("utf-8", "surrogateescape")).hexdigest()
    return replace(content, digest=digest)


def recording_id(item: Item, digest: str, key: bytes) -> str:
    """Return the dataset, 10 hexadecimal digits of the content hash and 16 of a keyed hash of the path.

    The path part distinguishes copies. It is keyed, so file names cannot be guessed from it without the key. The order
    of ids, which is that of training, is the same under every key. Unreadable recordings are identified by path alone.
    """
    content = hashlib.sha256(digest.encode()).hexdigest()[:10] if digest else ""
    path = pseudonyms.pseudonym(key, item.dataset.name, digest, item.place)
    return f"{item.dataset.name}-{content}{path}"


def hash_sidecars(item: Item, store: Store | None = None) -> str:
    """Return the hash of the files beside a recording that its labels depend on; unreadable files count as absent."""
    digest = hashlib.sha256()
    for path in item.dataset.sidecars(item.file):
        content = _content((path,), store) if lies_inside(path, item.corpus) else Content("", 0)
        digest.update(f"{path.name}\0{content.digest}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def fingerprint(data: Path, datasets: Sequence[str] = (), store: Store | None = None) -> str:
    """Return a corpus version from file hashes: it changes with any recording, its path, or its label files.

    Args:
        data: The corpus folder.
        datasets: See `scan`.
        store: See `hash_content`.

    Raises:
        CorpusError: See `scan`.
    """
    parts = (
        f"{item.dataset.name} {hash_item(item, store).digest} {item.place} "
        f"{hash_sidecars(item, store)}{item.dataset.label_version(item.file)}"
        for item in scan(data, datasets)
    )
    return hashlib.sha256("\n".join(sorted(parts)).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def locate_recordings(
    data: Path, datasets: Sequence[str], ids: Collection[str], key: bytes, store: Store | None = None
) -> dict[str, Path]:
    """Return the paths, relative to `data`, of recordings by their ids. For display only, never to be stored."""
    paths = {}
    for item in scan(data, datasets):
        identifier = recording_id(item, hash_item(item, store).digest, key)
        if identifier in ids:
            paths[identifier] = item.file.path.relative_to(data)
    return paths


def _root(dataset: Dataset, folder: Path, data: Path) -> str:
    return folder.relative_to(data).as_posix() if dataset.ids_of_folder and folder != data else ""


def _stated(item: Item, data: Path, pattern: str) -> Item:
    if item.file.subject_source != "guessed" or item.file.quarantined:
        return item
    return replace(item, file=subjects.state(item.file, item.file.path.relative_to(data).as_posix(), pattern))


def _content(files: Sequence[Path], store: Store | None) -> Content:
    try:
        if any(map(is_sparse, files)):
            return Content("", 0, _SPARSE)
        hashed = _hash(files) if store is None else store.cached_by_stat(files, lambda: _hash(files))
    except OSError as error:
        return Content("", 0, _unreadable(error))
    return Content(**hashed, quarantined=None if hashed["size"] else (Reason.DAMAGED, "the file is empty"))


def _own_files(path: Path, corpus: Path | None) -> tuple[Path, ...] | None:
    """Return all files of a recording; None if one lies outside the corpus.

    Raises:
        OSError: If it is a pipe or a device, or cannot be looked at.
        ReadError: If a file is missing, or a placeholder of git-annex or Git LFS.
    """
    if corpus is not None and _is_outside(path, corpus):
        return None
    require_content(path)
    _require_file(path)
    files = tuple(list_files(path, corpus)) if path.is_dir() else content_files(path)
    if corpus is not None and any(_is_outside(file, corpus) for file in files):
        return None
    require_content(path, *files)
    return files


def _hash(files: Sequence[Path]) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    for path in files:
        _require_file(path)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    return {"digest": digest.hexdigest(), "size": size}


def _require_file(path: Path) -> None:
    """Raise `OSError` for a pipe or a device, which might never end."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "a pipe or a device")


def _is_outside(path: Path, corpus: Path) -> bool:
    """Whether a file or folder lies outside the corpus; links to nothing and devices have other reasons."""
    return (path.is_file() or path.is_dir()) and not lies_inside(path, corpus)


def _unreadable(error: OSError) -> tuple[Reason, str]:
    return Reason.UNREADABLE, f"the file cannot be read ({error.strerror})"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
