"""Confidence intervals from a bootstrap over subjects.

Windows of one subject are not independent, so the bootstrap draws subjects, not windows (percentile method). Two models
are compared on the same draws, which removes what both find hard.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from labram.evaluation.weighted_metrics import weighted_scores
from labram.frozen_model import FrozenModel
from labram.metrics import METRICS, Array, Ids, greater_is_better

LEVEL = 0.95
MIN_SUBJECTS = 6
"""Fewest subjects for which a difference may be called significant. With five, even a sign test on which all subjects
agree has p = 2 / 2**5 > 0.05, whatever the interval of the bootstrap."""


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


def estimates(scores: Mapping[str, Array]) -> tuple[dict[str, Estimate], int]:
    """Return estimates from `scores`, and the number of draws for which a metric is undefined.

    Draws with an undefined metric (a single class) are left out of its interval; the number is the largest over the
    metrics. Fewer than two defined draws give no interval.
    """
    undefined = max((int(np.isnan(values[1:]).sum()) for values in scores.values()), default=0)
    return {name: _estimate(values) for name, values in scores.items()}, undefined


def advantage(metric: str, ours: Array, theirs: Array) -> Estimate:
    """Return the difference of a metric on the same draws, signed so that above zero means that `ours` is better."""
    return _estimate(ours - theirs if greater_is_better(metric) else theirs - ours)


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


def _estimate(values: Array) -> Estimate:
    value = float(values[0])
    draws = values[1:][~np.isnan(values[1:])]
    if len(draws) < 2:
        return Estimate(value=_finite(value))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Estimate(value=_finite(value), low=_finite(low), high=_finite(high))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
