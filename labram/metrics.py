"""The metrics of tasks: one table, which every part of labram reads.

To add a metric, add an entry to `METRICS`. Recipes accept it, training selects models by it, evaluations report it with
bootstrap intervals, gates compare it, and reports print its title.

Letters: n windows, K classes, M regression targets.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
Kind = Literal["binary", "multiclass", "regression"]
Compute = Callable[[Array, Array, Array], float]

THRESHOLD = 0.5
"""Probability from which a binary prediction is class 1."""
MIN_SPREAD = 1e-12
"""Product of standard deviations below which a prediction is constant up to rounding."""


@dataclass(frozen=True)
class Metric:
    """How well predictions agree with labels.

    Attributes:
        name: Name in recipes, records and MLflow.
        title: Name in reports.
        kinds: Kinds of tasks that have it.
        compute: Value for labels (class indices [n], or targets [n, M]), predictions (probability of class 1 [n], of
            each class [n, K], or values [n, M]) and sample weights [n]. Called with two classes or more.
        chance: Value of predictions that do not depend on the signals, by the number of classes. None: depends on the
            labels (see `labram.evaluation.statistics.chance`).
        greater_is_better: False for errors.
    """

    name: str
    title: str
    kinds: tuple[Kind, ...]
    compute: Compute
    chance: Callable[[int], float] | None = None
    greater_is_better: bool = True


def decide(prediction: Array) -> Ids:
    """Return the predicted class of each window [n]: by `THRESHOLD` for one column, else the most probable."""
    if prediction.ndim == 2 and prediction.shape[1] > 1:
        return np.asarray(prediction.argmax(axis=1), dtype=np.int64)
    return (prediction.ravel() >= THRESHOLD).astype(np.int64)


def _probability(function: str) -> Compute:
    """Return scikit-learn's metric of that name, applied to probabilities."""

    def compute(y: Array, prediction: Array, weight: Array) -> float:
        from sklearn import metrics

        return float(getattr(metrics, function)(y, prediction, sample_weight=weight))

    return compute


def _decision(function: str, **options: Any) -> Compute:
    """Return scikit-learn's metric of that name, applied to predicted classes."""

    def compute(y: Array, prediction: Array, weight: Array) -> float:
        from sklearn import metrics

        return float(getattr(metrics, function)(y, decide(prediction), sample_weight=weight, **options))

    return compute


def _balanced_accuracy(y: Array, prediction: Array, weight: Array) -> float:
    """Return the mean recall over the classes that occur."""
    return _decision("recall_score", labels=np.unique(y), average="macro", zero_division=0)(y, prediction, weight)


def _r2(y_nM: Array, prediction_nM: Array, weight: Array) -> float:
    """Return the mean R² over the targets; NaN if a target is constant."""
    from sklearn.metrics import r2_score

    if (np.ptp(y_nM, axis=0) == 0).any():
        return float("nan")
    return float(r2_score(y_nM, prediction_nM, sample_weight=weight))


def _pearson_r(y_nM: Array, prediction_nM: Array, weight: Array) -> float:
    """Return the mean correlation over the targets; 0 for a constant prediction, NaN if a target is constant."""
    if (np.ptp(y_nM, axis=0) == 0).any():
        return float("nan")
    y = y_nM - np.average(y_nM, axis=0, weights=weight)
    p = prediction_nM - np.average(prediction_nM, axis=0, weights=weight)
    joint, spread_y, spread_p = (np.average(a * b, axis=0, weights=weight) for a, b in ((y, p), (y, y), (p, p)))
    spread = np.sqrt(spread_y * spread_p)
    return float(np.where(spread > MIN_SPREAD, joint / np.maximum(spread, MIN_SPREAD), 0.0).mean())


def weighted_ranks(values_n: Array, weights_Rn: Array) -> Array:
    """Return the ranks of values for several weightings [R, n]; equal values, and copies of one, share a rank."""
    _, value_of = np.unique(values_n, return_inverse=True)
    totals = np.zeros((value_of.max() + 1, len(weights_Rn)))
    np.add.at(totals, value_of, weights_Rn.T)
    below = np.cumsum(totals, axis=0) - totals
    return np.asarray((below + (totals + 1) / 2)[value_of].T)


def _spearman(y_nM: Array, prediction_nM: Array, weight: Array) -> float:
    """Return the mean correlation of the ranks over the targets; see `_pearson_r`."""
    y_nM, prediction_nM = (
        np.stack([weighted_ranks(column, weight[None])[0] for column in values.T], axis=1)
        for values in (y_nM, prediction_nM)
    )
    return _pearson_r(y_nM, prediction_nM, weight)


def _mae(y_nM: Array, prediction_nM: Array, weight: Array) -> float:
    """Return the mean over the targets of the mean absolute error, in the targets' unit."""
    from sklearn.metrics import mean_absolute_error

    return float(mean_absolute_error(y_nM, prediction_nM, sample_weight=weight))


def _rmse(y_nM: Array, prediction_nM: Array, weight: Array) -> float:
    """Return the mean over the targets of the root mean squared error, in the targets' unit."""
    from sklearn.metrics import root_mean_squared_error

    return float(root_mean_squared_error(y_nM, prediction_nM, sample_weight=weight))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("auroc", "AUROC", ("binary",), _probability("roc_auc_score"), lambda _: 0.5),
        Metric("auprc", "AUPRC", ("binary",), _probability("average_precision_score")),
        Metric(
            "cohen_kappa",
            "Cohen’s\N{NO-BREAK SPACE}κ",
            ("multiclass",),
            _decision("cohen_kappa_score"),
            lambda _: 0.0,
        ),
        Metric(
            "balanced_accuracy",
            "balanced accuracy",
            ("binary", "multiclass"),
            _balanced_accuracy,
            lambda classes: 1 / classes,
        ),
        Metric(
            "weighted_f1",
            "weighted F1",
            ("multiclass",),
            _decision("f1_score", average="weighted", zero_division=0),
        ),
        Metric("accuracy", "accuracy", ("binary", "multiclass"), _decision("accuracy_score")),
        Metric("r2", "R²", ("regression",), _r2, lambda _: 0.0),
        Metric("pearson_r", "Pearson r", ("regression",), _pearson_r, lambda _: 0.0),
        Metric("rmse", "RMSE", ("regression",), _rmse, greater_is_better=False),
        Metric("spearman", "Spearman ρ", ("regression",), _spearman, lambda _: 0.0),
        Metric("mae", "MAE", ("regression",), _mae, greater_is_better=False),
    )
}


def of_kind(kind: str) -> tuple[str, ...]:
    """Return the names of the metrics of a kind of task."""
    return tuple(name for name, metric in METRICS.items() if kind in metric.kinds)


def title(name: str) -> str:
    """Return a metric's name in reports; the name itself for one that is not in the table."""
    return METRICS[name].title if name in METRICS else name


def greater_is_better(name: str) -> bool:
    """Return whether a greater value is better; not so for ``loss`` and errors."""
    return METRICS[name].greater_is_better if name in METRICS else name != "loss"


def better(name: str, new: float, old: float) -> bool:
    """Return whether `new` is a better value of a metric (or ``loss``) than `old`; any number is better than NaN."""
    if np.isnan(new) or np.isnan(old):
        return bool(np.isnan(old) and not np.isnan(new))
    return new > old if greater_is_better(name) else new < old


def scores(kind: str, y: npt.ArrayLike, prediction: npt.ArrayLike) -> dict[str, float]:
    """Return all metrics of a kind of task, each computed once over all windows.

    Args:
        kind: ``binary``, ``multiclass`` or ``regression``.
        y: Class indices [n], or targets [n, M].
        prediction: Probability of class 1 [n], of each class [n, K], or values [n, M].
    """
    return {name: score(name, kind, y, prediction) for name in of_kind(kind)}


def score(
    name: str, kind: str, y: npt.ArrayLike, prediction: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
) -> float:
    """Return one metric; see `scores`.

    Args:
        name: A key of `METRICS`.
        kind: Kind of the task.
        y: Labels.
        prediction: Predictions.
        sample_weight: Weight of each window [n], such as how often its subject was drawn; None: 1.

    Returns:
        NaN if the metric is undefined: only one class occurs, a target is constant, or a prediction is not finite.
    """
    truth, predicted = np.asarray(y, np.float64), np.asarray(prediction, np.float64)
    weight = np.ones(len(truth)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    truth, predicted, weight = (values[weight > 0] for values in (truth, predicted, weight))
    if not len(truth) or not np.isfinite(predicted).all():
        return float("nan")
    if kind == "regression":
        return METRICS[name].compute(truth.reshape(len(truth), -1), predicted.reshape(len(truth), -1), weight)
    truth = truth.ravel().astype(int)
    if len(np.unique(truth)) < 2:
        return float("nan")
    return METRICS[name].compute(truth, predicted.ravel() if kind == "binary" else predicted, weight)


def confusion(y: Array, prediction: Array, classes: int) -> Ids:
    """Return counts [K, K]: rows are true classes, columns predicted ones (see `decide`)."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (np.asarray(y).ravel().astype(int), decide(np.asarray(prediction, float))), 1)
    return counts
