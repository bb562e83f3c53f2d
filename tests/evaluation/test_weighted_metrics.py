"""One pass over many weightings gives what scikit-learn gives for each of them."""

import numpy as np
import pytest
from sklearn import metrics as reference

from labram import metrics
from labram.evaluation.statistics import chance
from labram.evaluation.weighted_metrics import weighted_scores
from labram.metrics import Metric, confusion

N, SUBJECTS = 120, 7


@pytest.fixture
def draws():
    generator = np.random.default_rng(3)
    subjects = generator.integers(0, SUBJECTS, N)
    weights = generator.multinomial(SUBJECTS, np.full(SUBJECTS, 1 / SUBJECTS), size=20)
    return generator, subjects, weights.astype(float)


def repeated(subjects, weight):
    return np.repeat(np.arange(N), weight[subjects].astype(int))


def test_binary_metrics_are_those_of_the_repeated_windows_ties_included(draws):
    generator, subjects, weights = draws
    y = generator.integers(0, 2, N)
    prediction = np.round(np.clip(0.3 * y + generator.uniform(0, 0.7, N), 0, 1), 1)
    scores = weighted_scores("binary", y, prediction, subjects, weights)
    for row, weight in enumerate(weights):
        rows = repeated(subjects, weight)
        truth, score = y[rows], prediction[rows]
        assert scores["auroc"][row] == pytest.approx(reference.roc_auc_score(truth, score))
        assert scores["auprc"][row] == pytest.approx(reference.average_precision_score(truth, score))
        assert scores["accuracy"][row] == pytest.approx(reference.accuracy_score(truth, score >= 0.5))
        assert scores["balanced_accuracy"][row] == pytest.approx(reference.balanced_accuracy_score(truth, score >= 0.5))


def test_multiclass_metrics_are_those_of_the_repeated_windows(draws):
    generator, subjects, weights = draws
    y = generator.integers(0, 4, N)
    prediction = generator.dirichlet(np.ones(4), N)
    prediction[np.arange(N), y] += 0.3
    scores = weighted_scores("multiclass", y, prediction, subjects, weights)
    for row, weight in enumerate(weights):
        rows = repeated(subjects, weight)
        truth, decided = y[rows], prediction[rows].argmax(axis=1)
        assert scores["cohen_kappa"][row] == pytest.approx(reference.cohen_kappa_score(truth, decided))
        assert scores["weighted_f1"][row] == pytest.approx(reference.f1_score(truth, decided, average="weighted"))
        assert scores["accuracy"][row] == pytest.approx(reference.accuracy_score(truth, decided))
        assert scores["balanced_accuracy"][row] == pytest.approx(reference.balanced_accuracy_score(truth, decided))


def test_regression_metrics_are_means_over_the_targets(draws):
    generator, subjects, weights = draws
    y = 100 + generator.normal(size=(N, 3))
    prediction = y + generator.normal(size=(N, 3))
    scores = weighted_scores("regression", y, prediction, subjects, weights)
    for row, weight in enumerate(weights):
        rows = repeated(subjects, weight)
        truth, value = y[rows], prediction[rows]
        pearson = [np.corrcoef(truth[:, target], value[:, target])[0, 1] for target in range(3)]
        rmse = np.sqrt(((truth - value) ** 2).mean(axis=0))
        assert scores["r2"][row] == pytest.approx(reference.r2_score(truth, value))
        assert scores["pearson_r"][row] == pytest.approx(np.mean(pearson))
        assert scores["rmse"][row] == pytest.approx(rmse.mean())


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_all_draws_at_once_agree_with_scikit_learn_draw_by_draw(kind, draws):
    generator, subjects, weights = draws
    y = generator.normal(size=(N, 2)) if kind == "regression" else generator.integers(0, 2 + (kind == "multiclass"), N)
    prediction = {
        "binary": generator.uniform(size=N),
        "multiclass": generator.dirichlet(np.ones(3), N),
        "regression": np.stack([np.full(N, 0.3), generator.normal(size=N)], axis=1),
    }[kind]
    scores = weighted_scores(kind, y, prediction, subjects, weights)
    for row, weight in enumerate(weights):
        rows = repeated(subjects, weight)
        expected = metrics.scores(kind, y[rows], prediction[rows])
        weighted = {name: metrics.score(name, kind, y, prediction, weight[subjects]) for name in expected}
        found = {name: values[row] for name, values in scores.items()}
        assert found == pytest.approx(expected, nan_ok=True)
        assert found == pytest.approx(weighted, nan_ok=True)


def test_a_metric_without_a_vectorised_form_is_computed_draw_by_draw(draws, monkeypatch):
    generator, subjects, weights = draws
    y, prediction = generator.integers(0, 2, N), generator.uniform(size=N)
    same = Metric("same", "Same", ("binary",), metrics.METRICS["auroc"].compute)
    monkeypatch.setitem(metrics.METRICS, "same", same)
    scores = weighted_scores("binary", y, prediction, subjects, weights)
    assert list(scores)[-1] == "same"
    assert scores["same"] == pytest.approx(scores["auroc"])


def test_a_single_class_leaves_metrics_undefined_instead_of_flattering():
    subjects = np.array([0, 0, 1, 1])
    only_second = np.array([[0.0, 2.0]])
    for kind, prediction in (("binary", np.full(4, 0.9)), ("multiclass", np.full((4, 3), 1 / 3))):
        scores = weighted_scores(kind, np.array([0, 1, 1, 1]), prediction, subjects, only_second)
        assert all(np.isnan(value).all() for value in scores.values())


def test_constant_targets_leave_r2_undefined_and_constant_predictions_have_no_correlation():
    subjects, weight = np.zeros(4, dtype=int), np.ones((1, 1))
    constant = weighted_scores("regression", np.ones(4), np.arange(4.0), subjects, weight)
    assert np.isnan(constant["r2"]).all()
    assert constant["rmse"][0] > 0
    flat = weighted_scores("regression", np.arange(4.0), np.full(4, 1.5), subjects, weight)
    assert flat["pearson_r"][0] == 0
    assert flat["r2"][0] == pytest.approx(0)


def test_confusion_rows_are_true_classes():
    counts = confusion(np.array([0, 0, 1, 1]), np.array([0.2, 0.9, 0.5, 0.1]), 2)
    assert counts.tolist() == [[1, 1], [1, 1]]
    assert confusion(np.array([2]), np.array([[0.1, 0.8, 0.1]]), 3)[2, 1] == 1


@pytest.mark.parametrize(("kind", "metric"), [("binary", "auroc"), ("binary", "balanced_accuracy")])
def test_constant_answers_score_chance(kind, metric):
    y = np.array([0, 1, 1, 1])
    scores = weighted_scores(kind, y, np.full(4, 0.7), np.zeros(4, dtype=int), np.ones((1, 1)))
    assert scores[metric][0] == chance(kind, metric, y, 2)


def test_chance_of_most_metrics_is_the_same_whatever_the_labels():
    y = np.array([0, 1, 2])
    constant = weighted_scores("multiclass", y, np.eye(3)[[1, 1, 1]], np.zeros(3, int), np.ones((1, 1)))
    for metric in ("cohen_kappa", "balanced_accuracy"):
        assert constant[metric][0] == chance("multiclass", metric, y, 3)
    assert chance("regression", "r2", y, 1) == 0


def test_chance_of_the_others_is_the_commonest_class_or_the_mean():
    y = np.array([0.0, 1.0, 1.0, 1.0])
    assert chance("binary", "accuracy", y, 2) == 0.75
    assert chance("binary", "auprc", y, 2) == 0.75
    assert chance("multiclass", "weighted_f1", y, 3) == pytest.approx(0.75 * 1.5 / 1.75)
    assert chance("regression", "rmse", y, 1) == pytest.approx(y.std())
    assert np.isnan(chance("binary", "auprc", np.ones(3), 2))
