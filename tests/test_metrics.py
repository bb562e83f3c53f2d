"""One table defines the metrics; their values are those of scikit-learn."""

import numpy as np
import pytest

from labram.metrics import METRICS, better, of_kind, score, scores, title

RANDOM = np.random.default_rng(0)


def test_every_metric_has_a_title_and_a_kind():
    assert all(name == metric.name and metric.title and metric.kinds for name, metric in METRICS.items())
    assert title("auroc") == "AUROC"
    assert title("unknown_metric") == "unknown_metric"


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_every_metric_of_a_kind_is_computed(kind):
    y = RANDOM.integers(0, 2, 20) if kind == "binary" else RANDOM.integers(0, 3, 20)
    prediction = RANDOM.random(20) if kind != "multiclass" else RANDOM.random((20, 3))
    assert tuple(scores(kind, y, prediction)) == of_kind(kind)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_a_sample_weight_of_k_is_a_window_repeated_k_times(kind):
    y = RANDOM.normal(size=(60, 2)) if kind == "regression" else RANDOM.integers(0, 2 + (kind == "multiclass"), 60)
    prediction = {
        "binary": np.round(RANDOM.random(60), 1),
        "multiclass": RANDOM.random((60, 3)),
        "regression": y + RANDOM.normal(size=(60, 2)) if kind == "regression" else y,
    }[kind]
    weight = RANDOM.integers(0, 4, 60)
    rows = np.repeat(np.arange(60), weight)
    for name, value in scores(kind, y[rows], prediction[rows]).items():
        assert score(name, kind, y, prediction, weight) == pytest.approx(value)


def test_a_perfect_prediction_has_the_best_scores():
    y = np.array([0, 1, 2, 1])
    assert set(scores("multiclass", y, np.eye(3)[y]).values()) == {1.0}
    assert set(scores("binary", y > 1, y > 1).values()) == {1.0}
    perfect = scores("regression", y, y)
    assert perfect["r2"] == pytest.approx(1.0)
    assert perfect["pearson_r"] == pytest.approx(1.0)
    assert perfect["rmse"] == pytest.approx(0.0)


def test_predicting_the_mean_explains_nothing():
    y = RANDOM.normal(size=(50, 2))
    values = scores("regression", y, np.tile(y.mean(axis=0), (50, 1)))
    assert values["r2"] == pytest.approx(0.0)
    assert values["pearson_r"] == 0.0


def test_regression_metrics_are_means_over_targets():
    y = RANDOM.normal(size=(30, 2))
    prediction = y + RANDOM.normal(size=(30, 2))
    each = [scores("regression", y[:, [k]], prediction[:, [k]]) for k in range(2)]
    both = scores("regression", y, prediction)
    for name, value in both.items():
        assert value == pytest.approx(np.mean([part[name] for part in each]))


def test_a_single_class_has_no_score():
    assert all(np.isnan(value) for value in scores("binary", np.ones(4), np.full(4, 0.6)).values())


def test_a_higher_metric_and_a_lower_error_are_better_and_nan_never_is():
    assert better("auroc", 0.7, 0.6)
    assert better("rmse", 0.6, 0.7)
    assert better("loss", 0.6, 0.7)
    assert not better("auroc", float("nan"), 0.1)
    assert better("auroc", 0.1, float("nan"))
