"""Confidence intervals from a bootstrap over subjects.

Windows of one subject are not independent, so subjects are drawn, not windows (percentile method). Two sets of
predictions of the same windows are compared on the same draws, which removes what both find hard.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from labram.evaluation.metrics import Array, weighted_scores
from labram.frozen_model import FrozenModel
from labram.recipe import LOWER_IS_BETTER

LEVEL = 0.95
MIN_SUBJECTS = 6
"""Fewest subjects for which a difference may be called significant: with five, even a sign test that goes one way for
every one of them has p = 2 / 2**5 > 0.05, whatever a bootstrap's interval says."""


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
        """Whether the whole interval lies on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Resamples:
    """Draws of subjects with replacement.

    Attributes:
        subjects: Index of each window's subject [n].
        weights: How often each subject was drawn [R, S]; one row of ones followed by the draws.
    """

    subjects: npt.NDArray[np.int64]
    weights: Array

    @property
    def count(self) -> int:
        """Number of subjects."""
        return int(self.weights.shape[1])


def resample(subject_keys: npt.ArrayLike, *, draws: int, seed: int) -> Resamples:
    """Draw subjects `draws` times.

    Subjects are numbered as they first appear: their keys are random, and results must not depend on them.
    """
    subjects, names = pd.factorize(np.asarray(subject_keys, dtype=object))
    count = len(names)
    if count < 2:
        return Resamples(subjects, np.ones((1, count)))
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
    return Resamples(subjects, np.vstack([np.ones((1, count)), drawn]))


def estimates(scores: Mapping[str, Array]) -> tuple[dict[str, Estimate], int]:
    """Estimates from scores whose first value is that of the sample itself, and the number of undefined draws.

    Draws for which a metric is undefined (a single class) are left out of its interval; the number is the largest over
    the metrics. Fewer than two defined draws give no interval.
    """
    skipped = max((int(np.isnan(values[1:]).sum()) for values in scores.values()), default=0)
    return {name: _estimate(values) for name, values in scores.items()}, skipped


def scores(kind: str, y: Array, prediction: Array, draws: Resamples) -> dict[str, Array]:
    """Every metric for the sample itself (first) and for each draw."""
    return weighted_scores(kind, y, prediction, draws.subjects, draws.weights)


def better(metric: str, one: float, other: float) -> bool:
    """Whether one value of a metric is better than another."""
    return one < other if metric in LOWER_IS_BETTER else one > other


def advantage(metric: str, ours: Array, theirs: Array) -> Estimate:
    """Difference of a metric on the same draws, signed so that above zero means that `ours` is better."""
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    return _estimate(sign * (ours - theirs))


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
