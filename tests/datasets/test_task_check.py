"""A recipe names the classes of a task as its dataset's adapter does, in the same order."""

import pytest

from labram import recipe as recipes
from labram.datasets import ADAPTERS
from labram.datasets.base import Dataset
from labram.datasets.task_check import check_task
from labram.errors import LabelError
from labram.recipe import TaskRecipe


def task(**changes: object) -> TaskRecipe:
    return recipes.load("demo").task("abnormal").model_copy(update=changes)


@pytest.mark.parametrize("name", recipes.available())
def test_the_classes_of_shipped_recipes_are_those_of_the_adapters(name: str) -> None:
    for entry in recipes.load(name).tasks:
        check_task(entry)


def test_swapped_class_names_are_an_error_that_names_field_and_remedy() -> None:
    with pytest.raises(LabelError) as error:
        check_task(task(classes=("abnormal", "normal")))
    assert error.value.field == "tasks.abnormal.classes"
    assert "expected [normal, abnormal], got [abnormal, normal]" in str(error.value)
    assert "Set classes to [normal, abnormal]" in str(error.value)


def test_swapped_targets_of_a_regression_are_an_error() -> None:
    gait = recipes.load("demo").task("gait")
    with pytest.raises(LabelError, match="classes differ"):
        check_task(gait.model_copy(update={"classes": gait.classes[::-1]}))


def test_an_unknown_dataset_and_a_dataset_without_the_task_are_errors() -> None:
    with pytest.raises(LabelError, match="unknown: 'sim_hospitl'"):
        check_task(task(dataset="sim_hospitl"))
    with pytest.raises(LabelError, match="'sim_lab' has no labels for a task 'abnormal'"):
        check_task(task(dataset="sim_lab"))


def test_every_adapter_with_labels_declares_the_names_of_its_classes() -> None:
    for adapter in ADAPTERS.values():
        if type(adapter).labels is not Dataset.labels:
            assert adapter.tasks, f"{adapter.name} has labels, but declares no tasks"
        for name, classes in adapter.tasks.items():
            assert classes, f"{adapter.name}.{name}"
            assert len(set(classes)) == len(classes), f"{adapter.name}.{name}"
