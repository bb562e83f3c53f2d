"""Every metric of a task, for many weightings of the subjects at once.

A bootstrap over subjects asks for each metric thousands of times. Each metric here is a function of sums over windows,
and sums over windows are weighted sums of sums over subjects; so one resampling is a row of weights, and all of them
are a matrix product. `labram.training.scores.score` defines the metrics; a test holds that both agree.

Letters: R resamplings, S subjects, K classes, M regression targets.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]


def weighted_scores(kind: str, y: Array, prediction: Array, subjects: Ids, weights: Array) -> dict[str, Array]:
    """All metrics of `kind`, once for each row of `weights`.

    Args:
        kind: ``binary``, ``multiclass`` or ``regression``.
        y: Labels [n] (class indices), or targets [n, M].
        prediction: Probability of class 1 [n], of each class [n, K], or values [n, M].
        subjects: Index of each window's subject [n], from 0 to S - 1.
        weights: How often each subject is drawn [R, S].

    Returns:
        Metric name to values [R]; NaN where a metric is undefined for that weighting, such as when the subjects drawn
        have a single class.
    """
    return _SCORES[kind](np.asarray(y, float), np.asarray(prediction, float), subjects, np.asarray(weights, float))


def chance(kind: str, metric: str, y: Array, classes: int) -> float:
    """What an answer that does not depend on the signals gets at best; NaN where no window says so.

    Where all such answers get the same, it is that. Otherwise it is what the commonest class, or the mean of the
    targets, gets on these windows.

    Args:
        kind: As `weighted_scores` takes it.
        metric: One of `labram.recipe.METRICS`.
        y: Labels [n], or targets [n, M].
        classes: Number of classes of the task.
    """
    known = {"auroc": 0.5, "balanced_accuracy": 1 / classes, "cohen_kappa": 0.0, "r2": 0.0, "pearson_r": 0.0}
    if metric in known:
        return known[metric]
    y = np.asarray(y, float)
    if kind == "regression":
        answer = np.broadcast_to(y.mean(axis=0), y.shape)
    else:
        shares = np.bincount(y.astype(int), minlength=classes) / len(y)
        answer = np.full(len(y), shares[1]) if kind == "binary" else np.tile(shares, (len(y), 1))
    return float(weighted_scores(kind, y, answer, np.zeros(len(y), dtype=np.int64), np.ones((1, 1)))[metric][0])


def confusion(y: Array, prediction: Array, classes: int) -> npt.NDArray[np.int64]:
    """Counts [K, K]: rows are true classes, columns predicted ones (threshold 0.5, or the arg max)."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (np.asarray(y).ravel().astype(int), _decide(np.asarray(prediction, float))), 1)
    return counts


def _decide(prediction: Array) -> Ids:
    if prediction.ndim == 2 and prediction.shape[1] > 1:
        return np.asarray(prediction.argmax(axis=1), dtype=np.int64)
    return (prediction.ravel() >= 0.5).astype(np.int64)


def _binary(y: Array, prediction: Array, subjects: Ids, weights: Array) -> dict[str, Array]:
    y, prediction = y.ravel(), prediction.ravel()
    matrices_RKK = _confusions(y, _decide(prediction), subjects, weights, classes=2)
    scores = {
        "auroc": _auroc(y, prediction, subjects, weights),
        "auprc": _average_precision(y, prediction, subjects, weights),
        "balanced_accuracy": _balanced_accuracy(matrices_RKK),
        "accuracy": _accuracy(matrices_RKK),
    }
    return _undefined_for_one_class(scores, matrices_RKK)


def _multiclass(y: Array, prediction: Array, subjects: Ids, weights: Array) -> dict[str, Array]:
    matrices_RKK = _confusions(y.ravel(), _decide(prediction), subjects, weights, classes=prediction.shape[1])
    scores = {
        "cohen_kappa": _kappa(matrices_RKK),
        "balanced_accuracy": _balanced_accuracy(matrices_RKK),
        "weighted_f1": _weighted_f1(matrices_RKK),
        "accuracy": _accuracy(matrices_RKK),
    }
    return _undefined_for_one_class(scores, matrices_RKK)


def _regression(y: Array, prediction: Array, subjects: Ids, weights: Array) -> dict[str, Array]:
    """Means over the targets (specification 6.1)."""
    y_nM = y.reshape(len(y), -1)
    p_nM = prediction.reshape(len(y), -1)
    centre = y_nM.mean(axis=0)
    y_nM, p_nM = y_nM - centre, p_nM - centre

    def total(values: Array) -> Array:
        return weights @ _by_subject(values, subjects, weights.shape[1])

    count = total(np.ones((len(y_nM), 1)))
    spread_y = total(y_nM**2) - total(y_nM) ** 2 / count
    spread_p = total(p_nM**2) - total(p_nM) ** 2 / count
    joint = total(y_nM * p_nM) - total(y_nM) * total(p_nM) / count
    error = total((y_nM - p_nM) ** 2)
    constant = spread_y <= 1e-12 * count
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = np.where(constant, np.nan, 1 - error / spread_y)
        flat = spread_p <= 1e-12 * count
        pearson = np.where(constant, np.nan, np.where(flat, 0.0, joint / np.sqrt(spread_y * spread_p)))
    return {"r2": r2.mean(axis=1), "pearson_r": pearson.mean(axis=1), "rmse": np.sqrt(error / count).mean(axis=1)}


_SCORES: dict[str, Callable[[Array, Array, Ids, Array], dict[str, Array]]] = {
    "binary": _binary,
    "multiclass": _multiclass,
    "regression": _regression,
}


def _by_subject(values: Array, subjects: Ids, count: int) -> Array:
    sums = np.zeros((count, *values.shape[1:]))
    np.add.at(sums, subjects, values)
    return sums


def _confusions(y: Array, decided: Ids, subjects: Ids, weights: Array, classes: int) -> Array:
    """Weighted confusion matrices [R, K, K]."""
    cell = np.zeros((weights.shape[1], classes, classes))
    np.add.at(cell, (subjects, y.astype(int), decided), 1.0)
    return np.tensordot(weights, cell, axes=1)


def _undefined_for_one_class(scores: dict[str, Array], matrices_RKK: Array) -> dict[str, Array]:
    single = (matrices_RKK.sum(axis=2) > 0).sum(axis=1) < 2
    return {name: np.where(single, np.nan, values) for name, values in scores.items()}


def _accuracy(matrices_RKK: Array) -> Array:
    return np.asarray(np.trace(matrices_RKK, axis1=1, axis2=2) / matrices_RKK.sum(axis=(1, 2)))


def _balanced_accuracy(matrices_RKK: Array) -> Array:
    """Mean recall over the classes that occur."""
    support = matrices_RKK.sum(axis=2)
    recall = np.diagonal(matrices_RKK, axis1=1, axis2=2) / np.maximum(support, 1e-12)
    return np.asarray(recall.sum(axis=1) / (support > 0).sum(axis=1))


def _kappa(matrices_RKK: Array) -> Array:
    total = matrices_RKK.sum(axis=(1, 2))
    expected = (matrices_RKK.sum(axis=1) * matrices_RKK.sum(axis=2)).sum(axis=1) / total**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((_accuracy(matrices_RKK) - expected) / (1 - expected))


def _weighted_f1(matrices_RKK: Array) -> Array:
    support, predicted = matrices_RKK.sum(axis=2), matrices_RKK.sum(axis=1)
    f1 = 2 * np.diagonal(matrices_RKK, axis1=1, axis2=2) / np.maximum(support + predicted, 1e-12)
    return np.asarray((f1 * support).sum(axis=1) / support.sum(axis=1))


def _auroc(y: Array, score: Array, subjects: Ids, weights: Array) -> Array:
    """Probability that a positive window scores above a negative one, ties counting half (Mann-Whitney)."""
    negative = y == 0
    count = weights.shape[1]
    wins_SS = np.zeros((count, count))
    for subject in range(count):
        below = np.sort(score[negative & (subjects == subject)])
        beaten = (np.searchsorted(below, score, "left") + np.searchsorted(below, score, "right")) / 2
        wins_SS[:, subject] = _by_subject(beaten * ~negative, subjects, count)
    positives = weights @ _by_subject((~negative).astype(float), subjects, count)
    negatives = weights @ _by_subject(negative.astype(float), subjects, count)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(((weights @ wins_SS) * weights).sum(axis=1) / (positives * negatives))


def _average_precision(y: Array, score: Array, subjects: Ids, weights: Array) -> Array:
    """Area under precision over recall, as a sum over the distinct scores."""
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.append(np.diff(score[order]) != 0, True)
    subject, label = subjects[order], y[order]
    results = np.empty(len(weights))
    for row, weight in enumerate(weights):
        drawn = weight[subject]
        hits = np.cumsum(drawn * label)[last_of_tie]
        shown = np.cumsum(drawn)[last_of_tie]
        gained = np.diff(hits, prepend=0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            results[row] = np.sum(gained * hits / np.maximum(shown, 1e-12)) / hits[-1]
    return results
