"""Recipes whose tasks name a dataset and a task of it, and need not repeat what the dataset states."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labram import recipe as recipes
from labram.datasets.base import Dataset
from labram.datasets.finder import file_datasets
from labram.datasets.registry import ADAPTERS
from labram.recipe import Recipe

_METRICS = {"binary": "auroc", "multiclass": "cohen_kappa", "regression": "r2"}


def load_recipe(
    name_or_path: str,
    overrides: Sequence[str] = (),
    data: Path | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Recipe:
    """Read a recipe as `labram.recipe.load` does; tasks take title, kind, classes and metric from their dataset.

    Args:
        name_or_path: See `labram.recipe.load`.
        overrides: See `labram.recipe.load`.
        data: Corpus folder, whose dataset files state further datasets.
        defaults: See `labram.recipe.load`.

    Raises:
        RecipeError: If the recipe is invalid.
        CorpusError: If a dataset file is invalid.
    """
    own = file_datasets(data) if data is not None and data.is_dir() else {}
    stated = {name: _tasks(one) for name, one in {**ADAPTERS, **own}.items()}
    return recipes.load(name_or_path, overrides, stated, defaults)


def _tasks(dataset: Dataset) -> Mapping[str, dict[str, Any]]:
    """Return the settings of each task that the dataset states."""
    return {
        task: {"title": dataset.task_title(task), "kind": kind, "classes": list(classes), "metric": _METRICS[kind]}
        for task, classes in dataset.tasks.items()
        for kind in [dataset.task_kind(task)]
    }
