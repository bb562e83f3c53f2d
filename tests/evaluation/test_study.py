"""A study tells variants apart only where subjects and seeds agree."""

import re

import numpy as np
import pytest

from labram import recipe as recipes
from labram.errors import RecipeError
from labram.evaluation.predictions import Predictions
from labram.evaluation.study import AblationRun, ablation_runs, compare
from labram.recipe import TaskRecipe, VariantRecipe

TASK = TaskRecipe(name="t", title="T", dataset="d", kind="binary", classes=("a", "b"), metric="auroc")
RMSE = TASK.model_copy(update={"kind": "regression", "classes": ("hip",), "metric": "rmse"})


def predictions(skill: float, seed: int, subjects: int = 8, windows: int = 40) -> Predictions:
    """The same windows whatever the seed; answers of another one."""
    count = subjects * windows
    y = np.tile([0.0, 1.0], count // 2)
    answer = skill * (y - 0.5) + np.random.default_rng(seed).normal(size=count)
    names = np.repeat([f"s{number}" for number in range(subjects)], windows)
    return Predictions(names, names, np.tile(np.arange(windows), subjects), y, 1 / (1 + np.exp(-answer)), y * 0 + 0.5)


def outcomes(*skills: list[float], task: TaskRecipe = TASK, **shape: int):
    """Variants by their skill with each seed."""
    study = [
        AblationRun(variant=VariantRecipe(name=f"v{number}"), task=task, seed=seed)
        for number, variant in enumerate(skills)
        for seed in range(len(variant))
    ]
    found = [predictions(skill, 100 * seed, **shape) for variant in skills for seed, skill in enumerate(variant)]
    return compare(study, found, bootstrap=300, seed=0)


def test_the_first_variant_is_what_the_others_are_compared_with():
    first, second = outcomes([1.0, 1.0], [3.0, 3.0])
    assert first.is_reference
    assert not second.is_reference
    assert second.verdict == "better"
    assert 0 < second.difference.low < second.difference.value < second.difference.high
    assert second.difference.value == pytest.approx(second.score.value - first.score.value)


def test_a_variant_that_changes_nothing_is_not_told_apart():
    _, same = outcomes([1.0, 1.0], [1.0, 1.0])
    assert same.difference.value == 0
    assert same.verdict == "not significant"


def test_seeds_that_disagree_widen_the_interval():
    _, steady, unsteady = outcomes([1.0] * 4, [1.5] * 4, [0.2, 0.8, 2.2, 2.8])
    assert unsteady.spread > steady.spread
    assert steady.verdict == "better"
    assert unsteady.verdict == "not significant"


def test_with_one_seed_there_is_no_spread_of_seeds():
    assert [one.spread for one in outcomes([1.0], [2.0])] == [None, None]


def test_few_subjects_tell_nothing_apart():
    _, far_better = outcomes([0.0], [9.0], subjects=4)
    assert far_better.difference.low > 0
    assert far_better.verdict == "not significant"


def test_less_error_is_better():
    _, better = outcomes([0.0], [9.0], task=RMSE)
    assert better.difference.value > 0


def test_each_task_has_its_own_reference():
    study = [
        AblationRun(variant=VariantRecipe(name=name), task=TASK.model_copy(update={"name": task}), seed=0)
        for task in ("one", "two")
        for name in ("a", "b")
    ]
    found = compare(study, [predictions(skill, 0) for skill in (1, 3, 3, 1)], bootstrap=100, seed=0)
    assert [(one.task, one.variant, one.is_reference) for one in found] == [
        ("one", "a", True), ("one", "b", False), ("two", "a", True), ("two", "b", False)
    ]  # fmt: skip
    assert [one.verdict for one in found if not one.is_reference] == ["better", "worse"]


def recipe(**variant: object) -> recipes.Recipe:
    plain = recipes.load("demo-study").model_dump(mode="json")
    plain["study"] = {"seeds": 2, "variants": [{"name": "plain"}, {"name": "other", **variant}]}
    return recipes.Recipe.model_validate(plain)


def test_a_variant_has_its_own_settings_and_else_those_of_the_task():
    found = ablation_runs(recipe(task={"layer_decay": 0.5, "augment": {"noise": 0.0}}))
    plain, other = found[0].task, found[2].task
    assert other.layer_decay == 0.5
    assert other.augment == plain.augment.model_copy(update={"noise": 0.0})
    assert other.model_copy(update={"layer_decay": plain.layer_decay, "augment": plain.augment}) == plain
    assert [one.seed for one in found[:4]] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("task", "complaint"),
    [
        ({"layer_decy": 0.5}, r"Extra inputs are not permitted.*study\.variants\.other\.task\.layer_decy"),
        ({"augment": {"noise": -1}}, r"greater than or equal to 0.*task\.augment\.noise"),
        ({"seconds": 2}, r"which all variants share.*task\.seconds"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(task, complaint):
    with pytest.raises(RecipeError) as refusal:
        ablation_runs(recipe(task=task))
    error = refusal.value
    assert re.search(complaint, f"{error.problem} {error.field}")


def test_a_study_of_one_variant_is_none():
    with pytest.raises(RecipeError, match="a study needs a task and two variants"):
        ablation_runs(recipes.load("demo"))
