"""Every dataset adapter by name, found by scanning this package: to add a dataset, add one module with its adapter.

Other packages add adapters by the entry point group ``labram.datasets``.
"""

import importlib
import importlib.metadata
import pkgutil

from labram.datasets.base import Dataset
from labram.errors import CorpusError

_PACKAGE = "labram.datasets"

ADAPTERS: dict[str, Dataset] = {}
"""Filled at the end of this module, so that scanned modules may import it."""


def load_adapters() -> dict[str, Dataset]:
    """Instantiate every `Dataset` subclass that has a `name` and is defined in this package, or is an entry point.

    Returns:
        Adapters by name, ordered by `Dataset.group`, then by name.

    Raises:
        ValueError: If two classes have the same name.
    """
    adapters: dict[str, Dataset] = {}
    modules = [module.name for module in pkgutil.iter_modules(importlib.import_module(_PACKAGE).__path__)]
    found = [entry for name in modules if name != "__main__" for entry in _defined_in(f"{_PACKAGE}.{name}")]
    for name, adapter in (*found, *_entry_points()):
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
