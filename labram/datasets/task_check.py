"""Compare a recipe's tasks with the labels that the dataset adapters declare."""

from collections.abc import Mapping
from types import MappingProxyType

from labram.datasets.base import Dataset
from labram.datasets.registry import ADAPTERS
from labram.errors import LabelError
from labram.recipe import TaskRecipe


def check_task(task: TaskRecipe, own: Mapping[str, Dataset] = MappingProxyType({})) -> None:
    """Check that a task's dataset has labels for it, with the same classes or targets in the same order.

    Labels are stored as class indices: classes in another order would train well and publish probabilities under the
    wrong names.

    Args:
        task: The task.
        own: Datasets that dataset files state, by name.

    Raises:
        LabelError: If the dataset is unknown, has no such task, or declares other classes.
    """
    adapter = {**ADAPTERS, **own}.get(task.dataset)
    if adapter is None:
        raise LabelError(
            f"the dataset of task {task.name!r} is unknown: {task.dataset!r}",
            field=f"tasks.{task.name}.dataset",
            remedy=f"Choose one of: {', '.join(dict.fromkeys([*own, *ADAPTERS]))}; a dataset of your own needs a "
            "dataset.yaml in its folder",
        )
    if task.name not in adapter.tasks:
        raise LabelError(
            f"dataset {task.dataset!r} has no labels for a task {task.name!r}",
            field=f"tasks.{task.name}",
            remedy=f"Choose one of its tasks: {', '.join(adapter.tasks) or 'none'}",
        )
    expected = adapter.tasks[task.name]
    if task.classes != expected:
        raise LabelError(
            f"classes differ from the labels of dataset {task.dataset!r}: "
            f"expected [{', '.join(expected)}], got [{', '.join(task.classes)}]",
            field=f"tasks.{task.name}.classes",
            remedy=f"Set classes to [{', '.join(expected)}], the order of the label indices",
        )
