"""Two models are compared on the windows that both predicted, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from labram.errors import LabelError, RegistryError
from labram.evaluation import statistics
from labram.evaluation.predictions import Predictions
from labram.recipe import TaskRecipe
from labram.registry import comparison, predictions
from labram.registry.comparison import paired

TASK = TaskRecipe(name="t", title="T", dataset="eegmat", kind="binary", classes=("a", "b"), metric="auroc")


def answers(sharpness, subjects=12, seed=0):
    """Predictions of a binary task: `sharpness` says how far they follow the labels."""
    rng = np.random.default_rng(seed)
    n = 20 * subjects
    y = rng.integers(0, 2, n).astype(float)
    noise = np.random.default_rng(seed + 1).normal(size=n)
    return Predictions(
        recording_id=np.repeat([f"r{number}" for number in range(subjects)], 20).astype(object),
        subject_key=np.repeat([f"s{number}" for number in range(subjects)], 20).astype(object),
        start=np.tile(np.arange(20) * 4.0, subjects),
        y=y,
        prediction=1 / (1 + np.exp(-(sharpness * (2 * y - 1) + noise))),
    )


def rows(part, chosen):
    names = ("recording_id", "subject_key", "start", "y", "prediction")
    return replace(part, **{name: getattr(part, name)[chosen] for name in names})


def test_the_better_model_is_better_by_the_difference_of_the_scores():
    found = paired(answers(0.2), answers(2.0), TASK, bootstrap=200, seed=0)
    assert (found.windows, found.subjects, found.left_out) == (240, 12, 0)
    assert found.advantage.value == pytest.approx(found.b.value - found.a.value)
    whole = answers(2.0)
    assert found.b.value == pytest.approx(statistics.single_scores("binary", whole.y, whole.prediction)["auroc"])
    assert found.verdict == "better"
    assert paired(answers(2.0), answers(0.2), TASK, bootstrap=200, seed=0).verdict == "worse"
    assert paired(answers(2.0), answers(2.0), TASK, bootstrap=200, seed=0).verdict == "no significant difference"


def test_only_common_windows_count_in_whatever_order_they_are():
    whole, part = answers(1.0), rows(answers(1.0), np.arange(239, 99, -1))
    found = paired(whole, part, TASK, bootstrap=50, seed=0)
    assert (found.windows, found.left_out, found.subjects) == (140, 100, 7)
    assert found.advantage.value == 0.0


def test_few_subjects_make_no_significant_difference():
    few = [answers(sharpness, subjects=4) for sharpness in (0.0, 3.0)]
    assert paired(*few, TASK, bootstrap=50, seed=0).verdict == "no significant difference"


def test_other_windows_or_other_labels_are_no_comparison():
    one = answers(1.0)
    with pytest.raises(LabelError, match="no common window"):
        paired(one, replace(one, start=one.start + 2.0), TASK, bootstrap=50, seed=0)
    with pytest.raises(LabelError, match="different labels"):
        paired(one, replace(one, y=1 - one.y), TASK, bootstrap=50, seed=0)


def test_what_differs_is_listed_and_what_is_equal_is_not():
    assert comparison.differences({"a": "1", "b": "2"}, {"b": "3", "a": "1", "c": "4"}) == (
        ("b", "2", "3"),
        ("c", "", "4"),
    )


def test_predictions_come_back_from_the_run_as_they_were(run_id, tmp_path):
    answers(1.0).write(tmp_path / "predictions.parquet")
    predictions.log(run_id, "t", tmp_path / "predictions.parquet")
    assert predictions.read(run_id, "t").same_windows(answers(1.0))
    with pytest.raises(RegistryError, match="no predictions of task 'u'"):
        predictions.read(run_id, "u")
