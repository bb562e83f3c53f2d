"""Recognise the datasets of a corpus folder by their layout."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from labram.datasets.base import Dataset
from labram.datasets.folder import Folder
from labram.datasets.registry import ADAPTERS, get_adapter
from labram.datasets.stated.dataset_file import DATASET_FILE
from labram.datasets.stated.file_dataset import FileDataset
from labram.datasets.walk import walk
from labram.errors import CorpusError

FOLDER = ADAPTERS[Folder.name]
_ARRAYS = frozenset({".npy", ".npz", ".h5", ".hdf5", ".mdb", ".pkl", ".pickle"})


def find(data: Path, names: Sequence[str]) -> list[tuple[Dataset, Path]]:
    """Return the datasets of a corpus folder, each with its own folder.

    Args:
        data: A folder in the layout of a dataset, or one that holds such folders. A folder with a `dataset.yaml` is
            the dataset that this file states.
        names: Datasets to use, in this order. Empty: every adapter that recognises `data` or a folder below it, at any
            depth, and `folder` for the remaining files.

    Raises:
        CorpusError: If the folder does not exist, is empty or has no EEG, lacks a named dataset, or has an invalid
            dataset file.
    """
    _check(data)
    if names:
        return [found for name in names for found in _find_named(data, name)]
    adapters = [adapter for adapter in ADAPTERS.values() if adapter is not FOLDER]
    datasets = _search(data, adapters)
    if any(folder == data and not dataset.apart for dataset, folder in datasets):
        return datasets
    rest = Folder(*datasets) if datasets else FOLDER
    if rest.recognises(data):
        datasets.append((rest, data))
    if not datasets and (arrays := list(_arrays(data))):
        kinds = ", ".join(sorted({path.suffix.lower() for path in arrays}))
        raise CorpusError(
            f"{len(arrays)} files of arrays ({kinds}), which do not state what they hold",
            file=data,
            remedy=f"Run `labram datasets init {data}`: it drafts the {DATASET_FILE} that states it",
        )
    if not datasets:
        raise CorpusError(
            "no EEG file in this folder",
            file=data,
            remedy=f"Choose a folder with recordings ({', '.join(sorted(FOLDER.suffixes))})",
        )
    return datasets


def unused(data: Path, datasets: Sequence[tuple[Dataset, Path]]) -> list[str]:
    """Return the names of EEG files, and folders with EEG, directly below `data` that belong to none of `datasets`.

    Arrays, which may be EEG, are named with what they need; those in the folder of a dataset are its own.
    """
    left = {path.relative_to(data).parts[0] for path in Folder(*datasets).eeg_files(data)}
    own = [folder for dataset, folder in datasets if not isinstance(dataset, Folder)]
    arrays = (path for path in _arrays(data) if not any(path.is_relative_to(folder) for folder in own))
    needing = {f"{path.relative_to(data).as_posix()} (an array: needs a {DATASET_FILE})" for path in arrays}
    return [*sorted(left), *sorted(needing)]


def _arrays(data: Path) -> Iterator[Path]:
    """Yield files of formats that hold arrays of anything."""
    for folder, folders, files in walk(data):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (folder / name for name in files if Path(name).suffix.lower() in _ARRAYS)


def _check(data: Path) -> None:
    if not data.is_dir():
        raise CorpusError("no such folder", file=data, remedy="Choose the folder that holds the recordings")
    if not any(data.iterdir()):
        raise CorpusError("the folder is empty", file=data, remedy="Copy recordings into it or choose another folder")


def file_datasets(data: Path) -> dict[str, FileDataset]:
    """Return the datasets that dataset files state in a corpus folder, by name.

    Raises:
        CorpusError: If a file is invalid, or has the name of another dataset.
    """
    found: dict[str, FileDataset] = {}
    for folder, folders, files in walk(data):
        folders[:] = [name for name in folders if not name.startswith(".") and not name.lower().endswith(".mff")]
        if DATASET_FILE in files:
            dataset = _load(folder)
            if dataset.name in found:
                raise _same_name(folder, dataset.name, "another folder of the corpus has this name")
            found[dataset.name] = dataset
            folders.clear()
    return found


def _load(folder: Path) -> FileDataset:
    dataset = FileDataset.load(folder)
    if dataset.name in ADAPTERS:
        raise _same_name(folder, dataset.name, "a built-in dataset has this name")
    return dataset


def _same_name(folder: Path, name: str, problem: str) -> CorpusError:
    return CorpusError(problem, file=folder / DATASET_FILE, field="name", remedy=f"Write another name than {name!r}")


def _search(data: Path, adapters: Sequence[Dataset]) -> list[tuple[Dataset, Path]]:
    """Return the topmost folders in the layout of a dataset, at any depth, in the order of the adapters.

    A folder in a dataset's layout is that dataset, even if its subfolders look like other datasets, except for folders
    without any file named as the dataset's. Symbolic links are followed, but each real folder is visited once.
    """
    found: list[tuple[Dataset, Path]] = []
    stated: list[tuple[Dataset, Path]] = []
    for folder, folders, files in walk(data):
        if DATASET_FILE in files:
            stated.append((_load(folder), folder))
            folders.clear()
            continue
        here = [(adapter, folder) for adapter in adapters if adapter.recognises(folder)]
        found += here
        entered = [name for name in folders if not name.startswith(".") and not name.lower().endswith(".mff")]
        folders[:] = [] if here else entered
    parts = [part for adapter, folder in found for part in _without_others(adapter, folder, adapters)]
    order = [adapter.name for adapter in adapters]
    return [*sorted(parts, key=lambda entry: order.index(entry[0].name)), *stated]


def _without_others(adapter: Dataset, folder: Path, adapters: Sequence[Dataset]) -> list[tuple[Dataset, Path]]:
    """Return a dataset without files that lie in folders of their own, and the datasets in these folders."""
    if adapter.file_name is Dataset.file_name:
        return [(adapter, folder)]
    names = [path.relative_to(folder) for path in (*adapter.eeg_files(folder), *FOLDER.eeg_files(folder))]
    own = [name for name in names if adapter.file_name.fullmatch(name.name)]
    beside, above = {name.parent for name in own}, {parent for name in own for parent in name.parents}
    others = {name for name in names if name.parent not in beside}
    if not own or not others:
        return [(adapter, folder)]
    apart = {next((parent for parent in list(name.parents)[::-1] if parent not in above), name) for name in others}
    paths = [folder / name for name in sorted(apart)]
    nested = [found for path in paths if path.is_dir() for found in _search(path, adapters)]
    return [(adapter.without(*paths), folder), *nested]


def _find_named(data: Path, name: str) -> list[tuple[Dataset, Path]]:
    stated = file_datasets(data)
    if name in stated:
        return [(stated[name], stated[name].folder)]
    adapter = get_adapter(name, *stated)
    subfolder = data / name
    if subfolder.is_dir() and adapter.recognises(subfolder):
        return _without_others(adapter, subfolder, [adapter])
    if found := [part for part in _search(data, [adapter]) if part[0].name == name]:
        return found
    cause = f"the folder {name} does not have its layout" if subfolder.is_dir() else f"there is no folder {name}"
    raise CorpusError(
        f"the dataset {name} is not in the corpus: {cause}",
        file=data,
        field="corpus.datasets",
        remedy=f"Remove it from the datasets, or obtain it: {adapter.obtain}",
    )
