"""Every dataset adapter by name, found by scanning this package: to add a dataset, add one module with its adapter.

Other packages add adapters by the entry point group ``labram.datasets``. ``labram --adapter FILE.py`` adds those of a
file, and sets ``LABRAM_ADAPTERS`` for all processes of a run.
"""

import importlib
import importlib.metadata
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from labram.datasets.base import Dataset
from labram.errors import CorpusError

_PACKAGE = "labram.datasets"
FILES_VARIABLE = "LABRAM_ADAPTERS"

ADAPTERS: dict[str, Dataset] = {}
"""Filled at the end of this module, so that scanned modules may import it."""


def load_adapters() -> dict[str, Dataset]:
    """Instantiate every `Dataset` subclass with a `name` of this package, of an entry point, or of a file.

    Returns:
        Adapters by name, ordered by `Dataset.group`, then by name.

    Raises:
        ValueError: If two classes have the same name.
        CorpusError: If a file with adapters cannot be imported.
    """
    adapters: dict[str, Dataset] = {}
    modules = [module.name for module in pkgutil.iter_modules(importlib.import_module(_PACKAGE).__path__)]
    found = [entry for name in modules if name != "__main__" for entry in _defined_in(f"{_PACKAGE}.{name}")]
    for name, adapter in (*found, *_entry_points(), *_of_files()):
        if name in adapters:
            raise ValueError(f"two dataset adapters are named {name!r}")
        adapters[name] = adapter
    return dict(sorted(adapters.items(), key=lambda entry: (entry[1].group, entry[0])))


def _defined_in(module_name: str) -> list[tuple[str, Dataset]]:
    classes = vars(importlib.import_module(module_name)).values()
    adapters = [
        cls
        for cls in classes
        if isinstance(cls, type) and issubclass(cls, Dataset) and cls.__module__ == module_name and hasattr(cls, "name")
    ]
    return [(cls.name, cls()) for cls in adapters]


def _entry_points() -> list[tuple[str, Dataset]]:
    """Return the adapters that other installed packages declare."""
    classes = [entry.load() for entry in importlib.metadata.entry_points(group=_PACKAGE)]
    return [(cls.name, cls()) for cls in classes]


def _of_files() -> list[tuple[str, Dataset]]:
    """Return the adapters of the files that `LABRAM_ADAPTERS` names."""
    paths = filter(None, os.environ.get(FILES_VARIABLE, "").split(os.pathsep))
    return [found for path in paths for found in _defined_in(_import_file(Path(path)))]


def _import_file(path: Path) -> str:
    """Import a file as a module of this package, so that worker processes find it, and return the module's name."""
    name = f"{_PACKAGE}.own_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if path.suffix != ".py" or not path.is_file() or spec is None or spec.loader is None:
        raise CorpusError("not a Python file", file=path, field="--adapter", remedy="Pass the .py file of an adapter")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise CorpusError(
            f"the file cannot be imported: {type(error).__name__}: {error}",
            file=path,
            field="--adapter",
            remedy="Correct it; CONTRIBUTING.md shows an adapter",
        ) from error
    if not _defined_in(name):
        raise CorpusError(
            "the file has no adapter: no subclass of labram.datasets.base.Dataset with a name",
            file=path,
            field="--adapter",
            remedy="CONTRIBUTING.md shows one",
        )
    return name


def use_files(paths: Sequence[Path]) -> None:
    """Add the adapters of files, in this process and those that it starts.

    Raises:
        CorpusError: If a file cannot be imported or has no adapter.
        ValueError: If two adapters have the same name.
    """
    os.environ[FILES_VARIABLE] = os.pathsep.join(str(path.resolve()) for path in paths)
    new = {name: adapter for name, adapter in load_adapters().items() if name not in ADAPTERS}
    ADAPTERS.update(new)  # others keep their identity, by which they are compared


def title_of(name: str) -> str:
    """Return the title of a dataset; of one that only its own file states, the name."""
    return ADAPTERS[name].title if name in ADAPTERS else name


def is_simulated(name: str) -> bool:
    """Return whether a program generates the recordings of a dataset."""
    return name in ADAPTERS and ADAPTERS[name].simulated


def get_adapter(name: str, *others: str) -> Dataset:
    """Return the adapter of that name.

    Args:
        name: The name.
        others: Names of further datasets, for the remedy.

    Raises:
        CorpusError: If no adapter has that name.
    """
    if name not in ADAPTERS:
        raise CorpusError(
            f"unknown dataset {name!r}",
            field="corpus.datasets",
            remedy=f"Choose one of: {', '.join([*others, *ADAPTERS])}; your own dataset needs a dataset.yaml in its "
            "folder (`labram datasets init FOLDER`)",
        )
    return ADAPTERS[name]


ADAPTERS.update(load_adapters())
