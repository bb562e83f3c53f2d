import numpy as np
import pytest

from labram.recipe import METRICS
from labram.training.scores import better, score

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("kind", METRICS)
def test_every_metric_of_the_recipe_is_given(kind):
    y = RANDOM.integers(0, 2, 20) if kind == "binary" else RANDOM.integers(0, 3, 20)
    prediction = RANDOM.random(20) if kind != "multiclass" else RANDOM.random((20, 3))
    assert tuple(score(kind, y, prediction)) == METRICS[kind]


def test_a_perfect_prediction_has_the_best_scores():
    y = np.array([0, 1, 2, 1])
    assert set(score("multiclass", y, np.eye(3)[y]).values()) == {1.0}
    assert set(score("binary", y > 1, y > 1).values()) == {1.0}
    perfect = score("regression", y, y)
    assert perfect["r2"] == pytest.approx(1.0)
    assert perfect["pearson_r"] == pytest.approx(1.0)
    assert perfect["rmse"] == pytest.approx(0.0)


def test_predicting_the_mean_explains_nothing():
    y = RANDOM.normal(size=(50, 2))
    scores = score("regression", y, np.tile(y.mean(axis=0), (50, 1)))
    assert scores["r2"] == pytest.approx(0.0)
    assert scores["pearson_r"] == 0.0


def test_regression_metrics_are_means_over_targets():
    y = RANDOM.normal(size=(30, 2))
    prediction = y + RANDOM.normal(size=(30, 2))
    each = [score("regression", y[:, [k]], prediction[:, [k]]) for k in range(2)]
    both = score("regression", y, prediction)
    for name, value in both.items():
        assert value == pytest.approx(np.mean([part[name] for part in each]))


def test_a_single_class_has_no_score():
    assert all(np.isnan(value) for value in score("binary", np.ones(4), np.full(4, 0.6)).values())


def test_a_higher_metric_and_a_lower_error_are_better_and_nan_never_is():
    assert better("auroc", 0.7, 0.6)
    assert better("rmse", 0.6, 0.7)
    assert better("loss", 0.6, 0.7)
    assert not better("auroc", float("nan"), 0.1)
    assert better("auroc", 0.1, float("nan"))
