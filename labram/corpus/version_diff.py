"""What is different between two versions of a corpus, counted in recordings."""

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from labram.datasets import ADAPTERS, FOLDER

_BUNDLE = ".mff"


@dataclass(frozen=True)
class VersionDiff:
    """Recordings by their paths below the corpus folder: for showing to people, never for keeping.

    Attributes:
        added: Those that the later version has and the earlier has not.
        removed: Those that the earlier has and the later has not.
        changed: Those of which a file differs: their own, or one that is named after them, such as its annotations.
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
        new: The same of the later version.
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
    """Files of each recording with their hashes, and the files of none."""
    names = {path: "" if _with_header(path, files) else _recording(path) for path in files}
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


def _with_header(path: str, files: Container[str]) -> bool:
    """Whether this is the data file of a BrainVision header that is there."""
    place = PurePosixPath(path)
    return place.suffix.lower() == ".eeg" and str(place.with_suffix(".vhdr")) in files


def _recording(path: str) -> str:
    """The recording whose main file this is; empty if it is none, by what its dataset says of suffixes."""
    place = PurePosixPath(path)
    for folder in place.parents:
        if folder.suffix.lower() == _BUNDLE:
            return str(folder)
    suffixes = ADAPTERS.get(place.parts[0], FOLDER).suffixes
    return path if place.suffix.lower() in suffixes else ""


def _stems(path: str) -> Iterator[str]:
    """``a/b.edf``, then ``a/b`` for ``a/b.edf.event``."""
    place = PurePosixPath(path)
    while place.suffix:
        place = place.with_suffix("")
        yield str(place)
