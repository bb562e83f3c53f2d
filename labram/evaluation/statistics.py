"""Confidence intervals from a bootstrap over subjects.

Windows of one subject are not independent, so the bootstrap draws subjects, not windows. Two models are compared on the
same draws, which removes what both find hard.

Percentile intervals of few subjects are too narrow: those of the mean of n have the width of a normal interval with the
variance divided by n, where t over n - 1 degrees of freedom and n - 1 are due. Their quantiles are therefore widened as
Hesterberg 2015, Am. Stat. 69(4), 371-386, proposes (expanded percentile interval): for means they then agree with the t
interval over subjects, which other metrics, such as AUROC over all windows, do not have.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr, stdtrit

from labram.evaluation.weighted_metrics import weighted_scores
from labram.frozen_model import FrozenModel
from labram.metrics import METRICS, Array, Ids, greater_is_better, score
from labram.recipe import FEWEST_TEST_SUBJECTS

LEVEL = 0.95
METHOD = "95 % expanded percentile intervals of a bootstrap over subjects"
"""How intervals are computed, in the words of reports and cards."""
MIN_SUBJECTS = FEWEST_TEST_SUBJECTS


class Estimate(FrozenModel):
    """A value with its 95 % confidence interval; None where it is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """Such as ``0.812 [0.754, 0.871]``; a dash where there is no value."""
        if self.value is None:
            return "–"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def excludes_zero(self) -> bool:
        """Return whether the whole interval lies on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Bootstrap:
    """Draws of subjects with replacement.

    Attributes:
        subjects: Index of each window's subject [n].
        weights: How often each subject is drawn [R, S]: a row of ones, which is the sample itself, then the draws.
    """

    subjects: Ids
    weights: Array

    @property
    def n_subjects(self) -> int:
        """Number of subjects."""
        return int(self.weights.shape[1])

    @property
    def n_draws(self) -> int:
        """Number of draws, the sample itself not counted."""
        return len(self.weights) - 1


def bootstrap(subject_keys: npt.ArrayLike, *, draws: int, seed: int) -> Bootstrap:
    """Draw subjects with replacement, as many as the sample has, `draws` times.

    Subjects are numbered in order of appearance: their keys are random, and results must not depend on them. A single
    subject has no draws.
    """
    subjects, names = pd.factorize(np.asarray(subject_keys, dtype=object))
    count = len(names)
    if count < 2:
        return Bootstrap(subjects, np.ones((1, count)))
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
    return Bootstrap(subjects, np.vstack([np.ones((1, count)), drawn]))


def scores(kind: str, y: Array, prediction: Array, draws: Bootstrap) -> dict[str, Array]:
    """Return every metric of the sample itself (first) and of each draw; see `weighted_scores`."""
    return weighted_scores(kind, y, prediction, draws.subjects, draws.weights)


def estimates(scores: Mapping[str, Array], subjects: int) -> tuple[dict[str, Estimate], int]:
    """Return estimates from `scores` of a number of subjects, and the number of draws for which a metric is undefined.

    Draws with an undefined metric (a single class) are left out of its interval; the number is the largest over the
    metrics. Fewer than two defined draws give no interval.
    """
    undefined = max((int(np.isnan(values[1:]).sum()) for values in scores.values()), default=0)
    return {name: estimate(values, subjects) for name, values in scores.items()}, undefined


def advantage(metric: str, ours: Array, theirs: Array, subjects: int) -> Estimate:
    """Return the difference of a metric on the same draws, signed so that above zero means that `ours` is better."""
    return estimate(ours - theirs if greater_is_better(metric) else theirs - ours, subjects)


def chance(kind: str, metric: str, y: Array, classes: int) -> float:
    """Return the best value that predictions reach without the signals; NaN without windows to compute it from.

    A metric of which all such predictions have the same value states it. For the others it is the value of the class
    frequencies, or of the mean of the targets, on these windows.

    Args:
        kind: Kind of the task.
        metric: A key of `labram.metrics.METRICS`.
        y: Class indices [n], or targets [n, M].
        classes: Number of classes of the task.
    """
    if (constant := METRICS[metric].chance) is not None:
        return constant(classes)
    y = np.asarray(y, float)
    if kind == "regression":
        prediction = np.broadcast_to(y.mean(axis=0), y.shape)
    else:
        frequencies = np.bincount(y.astype(int), minlength=classes) / len(y)
        prediction = np.full(len(y), frequencies[1]) if kind == "binary" else np.tile(frequencies, (len(y), 1))
    return float(single_scores(kind, y, prediction)[metric])


def single_scores(kind: str, y: Array, prediction: Array) -> dict[str, float]:
    """Return every metric over all windows, each weighted once, computed as `scores` computes it."""
    values = weighted_scores(kind, y, prediction, np.zeros(len(y), dtype=np.int64), np.ones((1, 1)))
    return {name: float(value[0]) for name, value in values.items()}


def estimate(values: Array, subjects: int) -> Estimate:
    """Return the sample's value (first) with the interval of the draws (the others), widened for few subjects."""
    value = float(values[0])
    draws = values[1:][~np.isnan(values[1:])]
    if len(draws) < 2:
        return Estimate(value=finite(value))
    tail = _tail(subjects)
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Estimate(value=finite(value), low=finite(low), high=finite(high))


def _tail(subjects: int) -> float:
    """Return the share of draws beyond each end of an expanded percentile interval."""
    if subjects < 2:
        return (1 - LEVEL) / 2
    quantile = stdtrit(subjects - 1, (1 - LEVEL) / 2)
    return float(ndtr(np.sqrt(subjects / (subjects - 1)) * quantile))


def by_subject(kind: str, metric: str, y: Array, prediction: Array, subjects: npt.ArrayLike) -> Array:
    """Return the metric of each subject's windows, in order of appearance; NaN where it is undefined."""
    numbers, names = pd.factorize(np.asarray(subjects, dtype=object))
    rows = [np.flatnonzero(numbers == number) for number in range(len(names))]
    return np.array([score(metric, kind, y[mine], prediction[mine]) for mine in rows])


def t_interval(values: Array) -> Estimate:
    """Return the mean of defined values, one for each subject, with its interval by Student's t; none for one value."""
    defined = values[np.isfinite(values)]
    if not len(defined):
        return Estimate(value=None)
    mean = float(defined.mean())
    if len(defined) < 2:
        return Estimate(value=mean)
    half = float(-stdtrit(len(defined) - 1, (1 - LEVEL) / 2) * defined.std(ddof=1) / np.sqrt(len(defined)))
    return Estimate(value=mean, low=mean - half, high=mean + half)


def swap_test(
    kind: str, metric: str, y: Array, ours: Array, theirs: Array, subjects: npt.ArrayLike, *, draws: int, seed: int
) -> float | None:
    """Return the p-value of a permutation test that two models predict subjects equally well.

    If they do, exchanging the predictions of both for some subjects changes nothing. All exchanges are tried if they
    are at most `draws`, else as many random ones. Two-sided; None if the metric is undefined.

    Args:
        kind: Kind of the task.
        metric: A key of `labram.metrics.METRICS`.
        y: Class indices [n], or targets [n, M].
        ours: Predictions of one model, as `labram.metrics.scores` takes them.
        theirs: Those of the other.
        subjects: Subject of each window [n].
        draws: Largest number of exchanges.
        seed: Seed of random exchanges.
    """
    numbers, names = pd.factorize(np.asarray(subjects, dtype=object))
    count = len(names)
    # The last subject is never exchanged: exchanging all others instead gives the same difference with another sign.
    if 2 ** (count - 1) <= draws:
        swaps = (np.arange(2 ** (count - 1))[:, None] >> np.arange(count)) & 1 == 1
    else:
        swaps = np.random.default_rng(seed).random((draws, count)) < 0.5
        swaps[0] = False  # the sample itself

    def difference(swapped: npt.NDArray[np.bool_]) -> float:
        rows = swapped[numbers].reshape(-1, *(1,) * (ours.ndim - 1))
        first, second = np.where(rows, theirs, ours), np.where(rows, ours, theirs)
        return single_scores(kind, y, first)[metric] - single_scores(kind, y, second)[metric]

    differences = np.abs([difference(swapped) for swapped in swaps])
    if not np.isfinite(differences[0]):
        return None
    return float(np.mean(differences >= differences[0] - 1e-12))


def finite(value: float) -> float | None:
    """Return the value; None if it is not finite."""
    return float(value) if np.isfinite(value) else None
