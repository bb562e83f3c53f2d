"""Recognise the datasets of a corpus folder by their layout."""

import os
from collections.abc import Sequence
from pathlib import Path

from labram.datasets.base import Dataset
from labram.datasets.folder import Folder
from labram.datasets.registry import ADAPTERS, get_adapter
from labram.errors import CorpusError

FOLDER = ADAPTERS[Folder.name]


def find(data: Path, names: Sequence[str]) -> list[tuple[Dataset, Path]]:
    """Return the datasets of a corpus folder, each with its own folder.

    Args:
        data: A folder in the layout of a dataset, or one that holds such folders.
        names: Adapters to use, in this order. Empty: every adapter that recognises `data` or a folder below it, at any
            depth, and `folder` for the remaining files.

    Raises:
        CorpusError: If the folder does not exist, is empty or has no EEG, or lacks a named dataset.
    """
    _check(data)
    if names:
        return [found for name in names for found in _find_named(data, name)]
    adapters = [adapter for adapter in ADAPTERS.values() if adapter is not FOLDER]
    datasets = _search(data, adapters)
    if any(folder == data for _, folder in datasets):
        return datasets
    rest = Folder(*(folder for _, folder in datasets)) if datasets else FOLDER
    if rest.recognises(data):
        datasets.append((rest, data))
    if not datasets:
        raise CorpusError(
            "no EEG file in this folder",
            file=data,
            remedy=f"Choose a folder with recordings ({', '.join(sorted(FOLDER.suffixes))})",
        )
    return datasets


def unused(data: Path, datasets: Sequence[tuple[Dataset, Path]]) -> list[str]:
    """Return the names of EEG files, and folders with EEG, directly below `data` that belong to none of `datasets`."""
    used = [folder.resolve() for _, folder in datasets]
    if data.resolve() in used:
        return []
    rest = Folder(*(folder for _, folder in datasets))
    folders = [path for path in _subfolders(data) if path.resolve() not in used and rest.recognises(path)]
    files = [path for path in data.iterdir() if path.is_file() and path.suffix.lower() in FOLDER.suffixes]
    return sorted(path.name for path in (*folders, *files))


def _check(data: Path) -> None:
    if not data.is_dir():
        raise CorpusError("no such folder", file=data, remedy="Choose the folder that holds the recordings")
    if not any(data.iterdir()):
        raise CorpusError("the folder is empty", file=data, remedy="Copy recordings into it or choose another folder")


def _search(data: Path, adapters: Sequence[Dataset]) -> list[tuple[Dataset, Path]]:
    """Return the topmost folders in the layout of a dataset, at any depth, in the order of the adapters.

    A folder in a dataset's layout is that dataset, even if its subfolders look like other datasets. Symbolic links are
    followed, but each real folder is visited once.
    """
    found: list[tuple[Dataset, Path]] = []
    seen: set[str] = set()
    for parent, folders, _ in os.walk(data, followlinks=True):
        folder, real = Path(parent), os.path.realpath(parent)
        here = [] if real in seen else [(adapter, folder) for adapter in adapters if adapter.recognises(folder)]
        if here or real in seen:
            folders.clear()
        seen.add(real)
        found += here
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not name.lower().endswith(".mff"))
    return sorted(found, key=lambda entry: adapters.index(entry[0]))


def _find_named(data: Path, name: str) -> list[tuple[Dataset, Path]]:
    adapter = get_adapter(name)
    subfolder = data / name
    if subfolder.is_dir() and adapter.recognises(subfolder):
        return [(adapter, subfolder)]
    if found := _search(data, [adapter]):
        return found
    cause = f"the folder {name} does not have its layout" if subfolder.is_dir() else f"there is no folder {name}"
    raise CorpusError(
        f"the dataset {name} is not in the corpus: {cause}",
        file=data,
        field="corpus.datasets",
        remedy=f"Remove it from the datasets, or obtain it: {adapter.obtain}",
    )


def _subfolders(data: Path) -> list[Path]:
    return sorted(path for path in data.iterdir() if path.is_dir() and not path.name.startswith("."))
