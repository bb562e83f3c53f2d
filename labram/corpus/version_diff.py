"""Differences between two versions of a corpus, by recording."""

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from labram.datasets import ADAPTERS, FOLDER

_BUNDLE = ".mff"


@dataclass(frozen=True)
class VersionDiff:
    """Recordings by path below the corpus folder. For display only, never to be stored.

    Attributes:
        added: Recordings only in the later version.
        removed: Recordings only in the earlier version.
        changed: Recordings of which a file differs, or a file named after them, such as annotations.
        others: Files that belong to no recording and differ, such as tables of labels.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    others: tuple[str, ...]


def diff_versions(old: Mapping[str, str], new: Mapping[str, str]) -> VersionDiff:
    """Compare two versions.

    Args:
        old: Hash of each file by its path below the corpus folder, ``<dataset>/…`` (see `dvc_versions.file_hashes`).
        new: The same for the later version.
    """
    before, others_before = _recordings(old)
    after, others_after = _recordings(new)
    return VersionDiff(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(name for name in before.keys() & after.keys() if before[name] != after[name])),
        others=tuple(sorted({path for path, _ in others_before ^ others_after})),
    )


def _recordings(files: Mapping[str, str]) -> tuple[dict[str, set[tuple[str, str]]], set[tuple[str, str]]]:
    """Return the files of each recording with their hashes, and the files that belong to none."""
    names = {path: "" if _has_header(path, files) else _recording(path) for path in files}
    recordings = {name: set[tuple[str, str]]() for name in names.values() if name}
    by_stem = defaultdict(list)
    for name in recordings:
        by_stem[str(PurePosixPath(name).with_suffix(""))].append(name)
    others = set()
    for path, digest in files.items():
        name = names[path]
        owners = [name] if name else next((by_stem[stem] for stem in _stems(path) if stem in by_stem), [])
        for owner in owners:
            recordings[owner].add((path, digest))
        if not owners:
            others.add((path, digest))
    return recordings, others


def _has_header(path: str, files: Container[str]) -> bool:
    """Return whether a file is the data file of an existing BrainVision header."""
    file = PurePosixPath(path)
    return file.suffix.lower() == ".eeg" and str(file.with_suffix(".vhdr")) in files


def _recording(path: str) -> str:
    """Return the recording whose main file this is; empty if its dataset has no such suffix."""
    file = PurePosixPath(path)
    for folder in file.parents:
        if folder.suffix.lower() == _BUNDLE:
            return str(folder)
    suffixes = ADAPTERS.get(file.parts[0], FOLDER).suffixes
    return path if file.suffix.lower() in suffixes else ""


def _stems(path: str) -> Iterator[str]:
    """Yield ``a/b.edf``, then ``a/b`` for ``a/b.edf.event``."""
    stem = PurePosixPath(path)
    while stem.suffix:
        stem = stem.with_suffix("")
        yield str(stem)
