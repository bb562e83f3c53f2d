"""Metrics for many weightings of the subjects at once, which is what a bootstrap over subjects needs.

`labram.metrics` defines the metrics. Here most of them are functions of sums over windows, and sums over windows are
weighted sums of sums over subjects: one draw is a row of weights, and all draws are one matrix multiplication, a
hundred times faster than scikit-learn draw by draw (decision 22). A test compares both. A metric without such a
function is computed draw by draw.

Letters: n windows, R draws, S subjects, K classes, M regression targets.
"""

from collections.abc import Callable

import numpy as np

from labram import metrics
from labram.metrics import Array, Ids, decide


def weighted_scores(kind: str, y: Array, prediction: Array, subjects: Ids, weights: Array) -> dict[str, Array]:
    """Return all metrics of a kind of task, once for each row of `weights`.

    Args:
        kind: ``binary``, ``multiclass`` or ``regression``.
        y: Class indices [n], or targets [n, M].
        prediction: Probability of class 1 [n], of each class [n, K], or values [n, M].
        subjects: Index of each window's subject [n], from 0 to S - 1.
        weights: How often each subject is drawn [R, S].

    Returns:
        Metric name to values [R]; NaN where a metric is undefined for that weighting, such as when the subjects drawn
        have a single class. All are NaN if a prediction is not finite: NaN would be sorted above every score, and be
        decided as class 0.
    """
    y, prediction, weights = np.asarray(y, float), np.asarray(prediction, float), np.asarray(weights, float)
    if not np.isfinite(prediction).all():
        return {name: np.full(len(weights), np.nan) for name in metrics.of_kind(kind)}
    vectorised = _VECTORISED[kind](y, prediction, subjects, weights)
    return {
        name: vectorised[name] if name in vectorised else _draw_by_draw(name, kind, y, prediction, weights[:, subjects])
        for name in metrics.of_kind(kind)
    }


def _draw_by_draw(name: str, kind: str, y: Array, prediction: Array, weights_Rn: Array) -> Array:
    return np.array([metrics.score(name, kind, y, prediction, weight_n) for weight_n in weights_Rn])


def _binary(y: Array, prediction: Array, subjects: Ids, weights: Array) -> dict[str, Array]:
    y, prediction = y.ravel(), prediction.ravel()
    matrices_RKK = _confusions(y, decide(prediction), subjects, weights, classes=2)
    scores = {
        "auroc": _auroc(y, prediction, subjects, weights),
        "auprc": _average_precision(y, prediction, subjects, weights),
        "balanced_accuracy": _balanced_accuracy(matrices_RKK),
        "accuracy": _accuracy(matrices_RKK),
    }
    return _undefined_for_one_class(scores, matrices_RKK)


def _multiclass(y: Array, prediction: Array, subjects: Ids, weights: Array) -> dict[str, Array]:
    matrices_RKK = _confusions(y.ravel(), decide(prediction), subjects, weights, classes=prediction.shape[1])
    scores = {
        "cohen_kappa": _kappa(matrices_RKK),
        "balanced_accuracy": _balanced_accuracy(matrices_RKK),
        "weighted_f1": _weighted_f1(matrices_RKK),
        "accuracy": _accuracy(matrices_RKK),
    }
    return _undefined_for_one_class(scores, matrices_RKK)


def _regression(y: Array, prediction: Array, subjects: Ids, weights: Array) -> dict[str, Array]:
    """Return means over the targets."""
    y_nM = y.reshape(len(y), -1)
    p_nM = prediction.reshape(len(y), -1)
    centre = y_nM.mean(axis=0)
    y_nM, p_nM = y_nM - centre, p_nM - centre

    def total(values: Array) -> Array:
        return weights @ _by_subject(values, subjects, weights.shape[1])

    def correlation(a_nM: Array, b_nM: Array) -> Array:
        """Return the mean correlation; 0 for a constant prediction, NaN if a target is constant."""
        a_nM, b_nM = a_nM - a_nM.mean(axis=0), b_nM - b_nM.mean(axis=0)
        spread_a = total(a_nM**2) - total(a_nM) ** 2 / count
        spread_b = total(b_nM**2) - total(b_nM) ** 2 / count
        joint = total(a_nM * b_nM) - total(a_nM) * total(b_nM) / count
        flat = spread_b <= 1e-12 * count
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.where(flat, 0.0, joint / np.sqrt(spread_a * spread_b))
        return np.asarray(np.where(spread_a <= 1e-12 * count, np.nan, value).mean(axis=1))

    count = total(np.ones((len(y_nM), 1)))
    spread_y = total(y_nM**2) - total(y_nM) ** 2 / count
    error = total((y_nM - p_nM) ** 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = np.where(spread_y <= 1e-12 * count, np.nan, 1 - error / spread_y)
    return {
        "r2": r2.mean(axis=1),
        "pearson_r": correlation(y_nM, p_nM),
        "rmse": np.sqrt(error / count).mean(axis=1),
        "spearman": _spearman(y_nM, p_nM, weights, subjects),
        "mae": (total(np.abs(y_nM - p_nM)) / count).mean(axis=1),
    }


def _spearman(y_nM: Array, p_nM: Array, weights: Array, subjects: Ids) -> Array:
    """Return the mean correlation of weighted ranks over the targets, a few draws at a time."""
    values = [
        np.mean([_rank_correlation(y, p, some[:, subjects]) for y, p in zip(y_nM.T, p_nM.T, strict=True)], axis=0)
        for some in np.array_split(weights, -(-len(weights) // _DRAWS_AT_ONCE))
    ]
    return np.concatenate(values)


def _rank_correlation(y_n: Array, p_n: Array, weights_Rn: Array) -> Array:
    total = weights_Rn.sum(axis=1, keepdims=True)
    ranks = [metrics.weighted_ranks(values, weights_Rn) for values in (y_n, p_n)]
    first, second = (rank - (rank * weights_Rn).sum(axis=1, keepdims=True) / total for rank in ranks)
    joint, spread_y, spread_p = (
        (one * other * weights_Rn).sum(axis=1) for one, other in ((first, second), (first, first), (second, second))
    )
    flat = spread_p <= 1e-9 * total[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(flat, 0.0, joint / np.sqrt(spread_y * spread_p))
    return np.asarray(np.where(spread_y <= 1e-9 * total[:, 0], np.nan, value))


_DRAWS_AT_ONCE = 64
_VECTORISED: dict[str, Callable[[Array, Array, Ids, Array], dict[str, Array]]] = {
    "binary": _binary,
    "multiclass": _multiclass,
    "regression": _regression,
}


def _by_subject(values: Array, subjects: Ids, count: int) -> Array:
    sums = np.zeros((count, *values.shape[1:]))
    np.add.at(sums, subjects, values)
    return sums


def _confusions(y: Array, decided: Ids, subjects: Ids, weights: Array, classes: int) -> Array:
    """Return weighted confusion matrices [R, K, K]."""
    cell = np.zeros((weights.shape[1], classes, classes))
    np.add.at(cell, (subjects, y.astype(int), decided), 1.0)
    return np.tensordot(weights, cell, axes=1)


def _undefined_for_one_class(scores: dict[str, Array], matrices_RKK: Array) -> dict[str, Array]:
    single = (matrices_RKK.sum(axis=2) > 0).sum(axis=1) < 2
    return {name: np.where(single, np.nan, values) for name, values in scores.items()}


def _accuracy(matrices_RKK: Array) -> Array:
    return np.asarray(np.trace(matrices_RKK, axis1=1, axis2=2) / matrices_RKK.sum(axis=(1, 2)))


def _balanced_accuracy(matrices_RKK: Array) -> Array:
    """Return the mean recall over the classes that occur."""
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
    """Return the probability that a positive window scores above a negative one; ties count half (Mann-Whitney)."""
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
    """Return the area under precision over recall, as a sum over the distinct scores."""
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
