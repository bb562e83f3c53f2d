"""Operating point of a binary model: the threshold of its decisions, chosen on validation recordings alone.

It states what the threshold costs (sensitivity, specificity, false alarms), when the model abstains, and the accuracy
that remains at each coverage. A window is unlike the validation recordings if its band powers are far from theirs.

Letters: n windows or recordings, C channels.
"""

from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from labram import checksums
from labram.errors import DamagedFileError, LabelError
from labram.evaluation.predictions import Predictions
from labram.evaluation.statistics import Estimate, bootstrap, estimate
from labram.frozen_model import FrozenModel
from labram.linear.features import BANDS
from labram.metrics import Array, Ids
from labram.recipe import DecisionUnit, OperatingPointRecipe, Rule, TaskRecipe

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
LOW_CONFIDENCE, UNLIKE = "low_confidence", "unlike_validation"
"""Why a decision abstains."""
_UNLIKE_QUANTILE = 0.99
_RIDGE = 1e-3
_SECONDS_PER_HOUR = 3600.0


class Cases(NamedTuple):
    """What is decided on: windows, or recordings with the mean over their windows.

    Attributes:
        y: Class indices [n], 0 or 1.
        p: Probability of class 1 [n].
        subjects: Subject of each case [n].
        recordings: Recording of each case [n].
        starts: Start of each case in seconds [n].
        hours: Duration of each case in hours [n].
        folds: Fold in which each case was predicted [n]; 0 without a cross-validation.
    """

    y: Array
    p: Array
    subjects: npt.NDArray[np.object_]
    recordings: npt.NDArray[np.object_]
    starts: Array
    hours: Array
    folds: Ids

    @classmethod
    def of(cls, predictions: Predictions, *, seconds: int, by: DecisionUnit) -> "Cases":
        """Return the cases of a binary task.

        Args:
            predictions: Labelled windows.
            seconds: Their length.
            by: What is decided on. Recordings whose windows have both labels are parted by label.
        """
        table = pd.DataFrame(
            {
                "y": predictions.y.ravel().astype(float),
                "p": predictions.prediction.ravel().astype(float),
                "subject": predictions.subject_key,
                "recording": predictions.recording_id,
                "start": predictions.start.astype(float),
                "hours": seconds / _SECONDS_PER_HOUR,
                "fold": 0 if predictions.fold is None else predictions.fold,
            }
        )
        if by == "recording":
            keys = ["recording", "y"]
            means = {"p": "mean", "subject": "first", "start": "min", "hours": "sum", "fold": "first"}
            table = table.groupby(keys, sort=False, as_index=False).agg(means)
        names = ("y", "p", "subject", "recording", "start", "hours", "fold")
        return cls(*(table[name].to_numpy() for name in names))

    def where(self, chosen: npt.NDArray[np.bool_]) -> "Cases":
        """Return the cases of which `chosen` [n] is true."""
        return Cases(**{name: values[chosen] for name, values in self._asdict().items()})


class Novelty(FrozenModel):
    """Distribution of the validation windows' log band powers, each the mean over channels.

    Attributes:
        mean: By band of `labram.linear.features.BANDS`.
        precision: Inverse covariance, row by row.
        limit: Mahalanobis distance that 99 % of the validation windows do not exceed.
    """

    mean: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]
    limit: float

    @classmethod
    def of(cls, features: Array) -> "Novelty":
        """Fit the distribution of features [n, bands]."""
        mean = features.mean(axis=0)
        covariance = np.cov(features, rowvar=False) if len(features) > 1 else np.zeros((len(BANDS),) * 2)
        precision: Array = np.linalg.inv(covariance + _RIDGE * np.eye(len(mean))).astype(np.float64)
        distances = _mahalanobis(features, mean, precision)
        return cls(
            mean=tuple(mean.tolist()),
            precision=tuple(tuple(row) for row in precision.tolist()),
            limit=float(np.quantile(distances, _UNLIKE_QUANTILE)),
        )

    def is_far(self, features: Array) -> npt.NDArray[np.bool_]:
        """Return which windows [n] are farther than the limit, or have no distance."""
        return ~(_mahalanobis(features, np.array(self.mean), np.array(self.precision)) <= self.limit)


class Performance(FrozenModel):
    """What an operating point reaches on some recordings; intervals are over subjects.

    Attributes:
        sensitivity: Share of class 1 that is decided as class 1.
        specificity: Share of class 0 that is decided as class 0.
        false_alarms_per_hour: Runs of adjoining false positives, per hour of class 0; None without class 0.
        coverage: Share of the cases that are decided: the others have too low a confidence.
        accuracy: Accuracy of the decided cases; None if none is.
        curve: Pairs of coverage and accuracy, the most confident cases first.
        cases: Their number.
        subjects: Number of subjects.
    """

    sensitivity: Estimate
    specificity: Estimate
    false_alarms_per_hour: float | None
    coverage: float
    accuracy: float | None
    curve: tuple[tuple[float, float], ...]
    cases: int
    subjects: int


class OperatingPoint(FrozenModel):
    """Threshold of a binary model, with what it reached on the validation recordings.

    Attributes:
        task: Name of the task.
        classes: Names of class 0 and class 1.
        model: Name of the model.
        weights: Digest of its weights: a point belongs to one version.
        rule: How the threshold was chosen.
        at: Value that the rule keeps; None for ``youden``.
        by: What is decided on.
        threshold: Probability of class 1 from which the decision is class 1.
        min_confidence: Confidence below which the model abstains, see `confidence`.
        novelty: Band powers of the validation windows; None for decisions on recordings.
        validation: Performance on the recordings of the choice: optimistic.
        test: Performance on other recordings; None if none were named.
    """

    NAME: ClassVar[str] = "operating_point.json"

    task: str
    classes: tuple[str, str]
    model: str
    weights: str
    rule: Rule
    at: float | None
    by: DecisionUnit
    threshold: float
    min_confidence: float
    novelty: Novelty | None
    validation: Performance
    test: Performance | None = None

    @classmethod
    def of(
        cls,
        task: TaskRecipe,
        recipe: OperatingPointRecipe,
        cases: Cases,
        *,
        model: str,
        weights: str,
        powers: Array | None,
        draws: int,
        seed: int = 0,
    ) -> Self:
        """Choose an operating point on validation cases.

        Args:
            task: Binary task.
            recipe: Rule, and the share of the cases from which the model abstains.
            cases: Validation cases.
            model: Name of the model.
            weights: Digest of its weights.
            powers: Band powers of the validation windows [n, bands]; None for decisions on recordings.
            draws: Number of bootstrap draws of subjects.
            seed: Seed of the draws.

        Raises:
            LabelError: See `choose_threshold`.
        """
        threshold = choose_threshold(recipe, cases)
        least = min_confidence_of(cases, threshold, recipe.abstain)
        return cls(
            task=task.name,
            classes=(task.classes[0], task.classes[1]),
            model=model,
            weights=weights,
            rule=recipe.rule,
            at=recipe.at,
            by=recipe.by,
            threshold=threshold,
            min_confidence=least,
            novelty=None if powers is None else Novelty.of(powers),
            validation=performance(cases, threshold, least, draws=draws, seed=seed),
        )

    def tested(self, cases: Cases, thresholds: Array | None = None, *, draws: int, seed: int = 0) -> Self:
        """Return the point with what it reaches on test cases [n], each with its own threshold if these are given."""
        at = self.threshold if thresholds is None else thresholds
        reached = performance(cases, at, self.min_confidence, draws=draws, seed=seed)
        return self.model_copy(update={"test": reached})

    def write(self, path: Path) -> None:
        """Write the point with its checksum."""
        checksums.write_json(path, self.model_dump(mode="json"), indent=1)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            DamagedFileError: If the file is absent, altered, or no operating point.
        """
        try:
            return cls.model_validate(checksums.loads(checksums.read_checked(path)))
        except (OSError, ValueError) as error:
            raise DamagedFileError(
                "this is no operating point", file=path.name, remedy="Write one with `labram operating-point`"
            ) from error

    def decide(self, p: Array, features: Array | None = None) -> tuple[npt.NDArray[np.int64], list[str]]:
        """Return decisions [n], and for each why the model abstains; empty if it does not.

        Args:
            p: Probability of class 1 [n].
            features: Band powers of the windows [n, bands], see `labram.linear.features.band_powers`.
        """
        low = ~(confidence(p, self.threshold) >= self.min_confidence)
        far = self.novelty.is_far(features) if self.novelty and features is not None else np.zeros(len(p), bool)
        reasons = [
            UNLIKE if is_far else LOW_CONFIDENCE if is_low else "" for is_far, is_low in zip(far, low, strict=True)
        ]
        return (p >= self.threshold).astype(np.int64), reasons


def confidence(p: Array, threshold: float | Array) -> Array:
    """Return the distance of probabilities [n] from the threshold, relative to the largest on their side: 0 to 1."""
    above = (p - threshold) / np.maximum(1 - np.asarray(threshold), 1e-12)
    below = (threshold - p) / np.maximum(threshold, 1e-12)
    return np.clip(np.where(p >= threshold, above, below), 0.0, 1.0)


def choose_threshold(recipe: OperatingPointRecipe, cases: Cases) -> float:
    """Return the threshold that a rule chooses.

    ``youden`` maximises sensitivity + specificity - 1. ``sensitivity`` keeps it at `at` or more, with the highest
    specificity; ``specificity`` the reverse. ``false_alarms_per_hour`` keeps them at `at` or less, with the highest
    sensitivity. Thresholds lie between the probabilities of neighbouring cases.

    Args:
        recipe: The rule, and the value that it keeps.
        cases: Validation cases.

    Raises:
        LabelError: If one of the classes does not occur, or a probability is not finite.
    """
    if not np.isfinite(cases.p).all():
        raise LabelError(
            f"the predictions of {np.count_nonzero(~np.isfinite(cases.p))} validation cases are not finite",
            field="validation",
            remedy="Train the model again: it does not predict numbers",
        )
    if len(np.unique(cases.y)) < 2:
        raise LabelError(
            "the validation recordings have one class only",
            field="validation",
            remedy="Name recordings of both classes",
        )
    thresholds = _between(cases.p)
    sensitivity, specificity = _rates(cases.y, cases.p, thresholds)
    if recipe.at is None:
        return float(thresholds[np.argmax(sensitivity + specificity)])
    if recipe.rule == "sensitivity":
        return float(thresholds[sensitivity >= recipe.at - 1e-12].max())
    if recipe.rule == "specificity":
        return float(thresholds[specificity >= recipe.at - 1e-12].min())
    alarms = np.array([false_alarms_per_hour(cases, threshold) or 0.0 for threshold in thresholds])
    return float(thresholds[alarms <= recipe.at + 1e-12].min())


def performance(
    cases: Cases, threshold: float | Array, min_confidence: float | Array, *, draws: int, seed: int
) -> Performance:
    """Return what a threshold reaches, with intervals from a bootstrap over subjects.

    Args:
        cases: Labelled cases.
        threshold: The threshold, or that of each case [n].
        min_confidence: Confidence below which a case is not decided, or that of each case [n].
        draws: Number of bootstrap draws.
        seed: Seed of the draws.
    """
    decided = (cases.p >= threshold).astype(float)
    correct, sure = decided == cases.y, confidence(cases.p, threshold)
    drawn = bootstrap(cases.subjects, draws=draws, seed=seed)
    weights = drawn.weights[:, drawn.subjects]
    kept = sure >= min_confidence
    order = np.argsort(-sure, kind="stable")
    counts = [max(1, round(coverage * len(order))) for coverage in COVERAGES]
    return Performance(
        sensitivity=_share(correct, cases.y == 1, weights, drawn.n_subjects),
        specificity=_share(correct, cases.y == 0, weights, drawn.n_subjects),
        false_alarms_per_hour=false_alarms_per_hour(cases, threshold),
        coverage=float(kept.mean()),
        accuracy=float(correct[kept].mean()) if kept.any() else None,
        curve=tuple((count / len(order), float(correct[order[:count]].mean())) for count in counts),
        cases=len(cases.y),
        subjects=drawn.n_subjects,
    )


def false_alarms_per_hour(cases: Cases, threshold: float | Array) -> float | None:
    """Return runs of adjoining false positives in a recording, per hour of class 0; None without class 0."""
    order = np.lexsort((cases.starts, cases.recordings.astype(str)))
    wrong = ((cases.p >= threshold) & (cases.y == 0))[order]
    starts, seconds = cases.starts[order], cases.hours[order] * _SECONDS_PER_HOUR
    apart = starts[1:] - starts[:-1] > seconds[:-1] + 1e-6
    new = np.concatenate([[True], apart | (cases.recordings[order][1:] != cases.recordings[order][:-1])])
    begins = wrong & (new | ~np.concatenate([[False], wrong[:-1]]))
    hours = float(cases.hours[cases.y == 0].sum())
    return float(begins.sum() / hours) if hours else None


def min_confidence_of(cases: Cases, threshold: float, abstain: float) -> float:
    """Return the confidence below which a share `abstain` of the cases lies."""
    return float(np.quantile(confidence(cases.p, threshold), abstain)) if abstain else 0.0


def _mahalanobis(features: Array, mean: Array, precision: Array) -> Array:
    deviations = features - mean
    return np.asarray(np.sqrt(np.maximum(np.einsum("nb,bc,nc->n", deviations, precision, deviations), 0.0)))


def _between(p: Array) -> Array:
    """Return 0, the middles between neighbouring probabilities, and a value that no probability reaches."""
    values = np.unique(p)
    return np.concatenate([[0.0], (values[1:] + values[:-1]) / 2, [np.nextafter(max(1.0, values[-1]), 2.0)]])


def _rates(y: Array, p: Array, thresholds: Array) -> tuple[Array, Array]:
    positives, negatives = np.sort(p[y == 1]), np.sort(p[y == 0])
    sensitivity = 1 - np.searchsorted(positives, thresholds, side="left") / len(positives)
    return sensitivity, np.searchsorted(negatives, thresholds, side="left") / len(negatives)


def _share(correct: npt.NDArray[np.bool_], of: npt.NDArray[np.bool_], weights: Array, subjects: int) -> Estimate:
    """Return the share of correct cases among `of`, with its interval; weights [draws, n], the sample first."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return estimate(weights @ (correct & of).astype(float) / (weights @ of.astype(float)), subjects)
