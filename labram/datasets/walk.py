"""Walk through a corpus folder: links are followed, each real folder is visited once, at any depth."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def walk(top: Path, onerror: Callable[[OSError], object] | None = None) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder with the names of its folders and files, sorted, from the top down.

    `os.walk` and `Path.rglob` recurse, and fail a thousand folders deep.

    Args:
        top: The folder.
        onerror: Called for a folder that cannot be read.
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
        folders = [entry.name for entry in entries if _is_folder(entry)]
        present = set(folders)
        yield folder, folders, [entry.name for entry in entries if entry.name not in present]
        waiting += [folder / name for name in reversed(folders)]


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
