"""Walk through a corpus folder: links inside it are followed, each real folder is visited once, at any depth."""

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from labram.datasets.containment import lies_inside


def walk(
    top: Path, onerror: Callable[[OSError], object] | None = None, within: Path | None = None
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder with the names of its folders and files, sorted, from the top down.

    A link to a folder outside is among the files: it is not entered. `os.walk` and `Path.rglob` recurse, and fail a
    thousand folders deep.

    Args:
        top: The folder.
        onerror: Called for a folder that cannot be read.
        within: The corpus folder, which links must not leave; None: `top`.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            state = folder.stat()
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if onerror is not None:
                onerror(error)
            continue
        if (state.st_dev, state.st_ino) in seen:
            continue
        seen.add((state.st_dev, state.st_ino))
        folders = [entry.name for entry in entries if _is_folder(entry, within or top)]
        present = set(folders)
        yield folder, folders, [entry.name for entry in entries if entry.name not in present]
        waiting += [folder / name for name in reversed(folders)]


def is_own_file(path: Path, within: Path) -> bool:
    """Return whether a path is a file of a folder: no pipe or device, and no link out of the folder."""
    return path.is_file() and lies_inside(path, within)


def visible_files(folder: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """Yield the folder's own files with one of the suffixes, in lower case, outside folders with a leading dot."""
    for parent, folders, files in walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (parent / name for name in files if Path(name).suffix.lower() in suffixes):
            if is_own_file(path, folder):
                yield path


def _is_folder(entry: "os.DirEntry[str]", within: Path) -> bool:
    try:
        return entry.is_dir() and (not entry.is_symlink() or lies_inside(Path(entry.path), within))
    except OSError:  # a link to itself
        return False
