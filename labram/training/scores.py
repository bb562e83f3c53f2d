"""The metrics by which a task is judged, as defined by scikit-learn (specification 6.1)."""

import numpy as np
import numpy.typing as npt
from sklearn import metrics

from labram.recipe import LOWER_IS_BETTER, METRICS

Array = npt.NDArray[np.float64]
THRESHOLD = 0.5
SMALLEST_SPREAD = 1e-12
"""Below it a prediction is constant up to rounding."""


def score(kind: str, y: npt.ArrayLike, prediction: npt.ArrayLike) -> dict[str, float]:
    """All metrics of a kind of task, on all windows at once.

    Args:
        kind: ``binary``, ``multiclass`` or ``regression``.
        y: Class indices [n], or targets [n, M].
        prediction: Probability of class 1 [n], of each class [n, K], or values [n, M].

    Returns:
        The names of `labram.recipe.METRICS` for that kind. NaN where a metric is undefined: only one class occurs, or a
        target is constant.
    """
    truth, predicted = np.asarray(y, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    if kind == "regression":
        return _regression(truth.reshape(len(truth), -1), predicted.reshape(len(truth), -1))
    classes = truth.ravel().astype(int)
    if len(np.unique(classes)) < 2:
        return dict.fromkeys(METRICS[kind], float("nan"))
    return _binary(classes, predicted.ravel()) if kind == "binary" else _multiclass(classes, predicted)


def better(metric: str, new: float, old: float) -> bool:
    """Whether `new` is a better value of `metric` than `old`; NaN is never better, and anything is better than NaN."""
    if np.isnan(new) or np.isnan(old):
        return bool(np.isnan(old) and not np.isnan(new))
    return new < old if metric in LOWER_IS_BETTER or metric == "loss" else new > old


def _binary(y: npt.NDArray[np.int_], probability: Array) -> dict[str, float]:
    decided = (probability >= THRESHOLD).astype(int)
    return {
        "auroc": float(metrics.roc_auc_score(y, probability)),
        "auprc": float(metrics.average_precision_score(y, probability)),
        "balanced_accuracy": _balanced_accuracy(y, decided),
        "accuracy": float(metrics.accuracy_score(y, decided)),
    }


def _multiclass(y: npt.NDArray[np.int_], probability: Array) -> dict[str, float]:
    decided = probability.argmax(axis=1)
    return {
        "cohen_kappa": float(metrics.cohen_kappa_score(y, decided)),
        "balanced_accuracy": _balanced_accuracy(y, decided),
        "weighted_f1": float(metrics.f1_score(y, decided, average="weighted", zero_division=0)),
        "accuracy": float(metrics.accuracy_score(y, decided)),
    }


def _balanced_accuracy(y: npt.NDArray[np.int_], decided: npt.NDArray[np.int_]) -> float:
    """Mean recall over the classes that occur."""
    recall = metrics.recall_score(y, decided, labels=np.unique(y), average=None, zero_division=0)
    return float(np.mean(recall))


def _regression(y_nM: Array, predicted_nM: Array) -> dict[str, float]:
    """Means over the targets; a constant prediction has no correlation, which counts as 0."""
    constant = np.ptp(y_nM, axis=0) == 0
    error = np.mean((y_nM - predicted_nM) ** 2, axis=0)
    spread = y_nM.std(axis=0) * predicted_nM.std(axis=0)
    joint = np.mean((y_nM - y_nM.mean(axis=0)) * (predicted_nM - predicted_nM.mean(axis=0)), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = 1.0 - error / y_nM.var(axis=0)
        correlation = np.where(spread > SMALLEST_SPREAD, joint / spread, 0.0)
    return {
        "r2": float(np.where(constant, np.nan, r2).mean()),
        "pearson_r": float(np.where(constant, np.nan, correlation).mean()),
        "rmse": float(np.sqrt(error).mean()),
    }
