"""The record of an evaluation: the metrics computed from predictions."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import AliasChoices, Field

from labram import checksums, metrics
from labram.errors import LabelError
from labram.evaluation import statistics
from labram.evaluation.backbone_probe import BackboneProbe
from labram.evaluation.by_recording import by_recording
from labram.evaluation.operating_point import OperatingPoint, Performance
from labram.evaluation.predictions import Predictions
from labram.evaluation.statistics import Estimate
from labram.frozen_model import FrozenModel
from labram.metrics import Array
from labram.recipe import DecisionUnit, OperatingPointRecipe, Protocol, TaskRecipe

EVALUATION_FILE = "evaluation.json"
MAX_POINTS = 500
MOST_SWAPS = 256
"""Exchanges of a permutation test: all of them for up to nine subjects."""


class AgainstBaseline(StrEnum):
    """Comparison of a model with its baseline on the headline metric, as tables show it."""

    BETTER = "yes"
    NOT_SIGNIFICANT = "better, not significant"
    NOT_BETTER = "no"
    UNDEFINED = "no baseline"

    @property
    def predicate(self) -> str:
        """The comparison as the predicate of a sentence about the model."""
        return {
            AgainstBaseline.BETTER: "beats the baseline",
            AgainstBaseline.NOT_SIGNIFICANT: "is better than the baseline, but not significantly",
            AgainstBaseline.NOT_BETTER: "does not beat the baseline",
            AgainstBaseline.UNDEFINED: "cannot be compared with a baseline",
        }[self]


class Decisions(FrozenModel):
    """Decisions of a binary model on tested subjects, at a threshold that other subjects chose.

    Attributes:
        rule: The rule of the choice, in words.
        by: What is decided on.
        threshold: Of the registered model.
        reached: What the decisions reach.
    """

    rule: str
    by: DecisionUnit
    threshold: float
    reached: Performance

    @property
    def summary(self) -> str:
        """Sensitivity and specificity in a sentence: the words of terminal, report and card."""
        reached = self.reached
        alarms, accuracy = reached.false_alarms_per_hour, reached.accuracy
        rate = "" if alarms is None else f", {alarms:.2f} false alarms per hour"
        right = "" if accuracy is None else f"; accuracy {accuracy:.3f} of the {reached.coverage:.0%} that are decided"
        return (
            f"Decisions by {self.by} for {self.rule}, at p = {self.threshold:.4g}: sensitivity {reached.sensitivity}, "
            f"specificity {reached.specificity}{rate}{right}."
        )


class Evaluation(FrozenModel):
    """Metrics of a model on one task and split, with those of a baseline on the same windows."""

    task: str
    title: str
    kind: str
    metric: str
    classes: tuple[str, ...]
    split: str
    protocol: Protocol = "holdout"
    folds: int = 0
    """Number of folds in each repetition of a cross-validation."""
    repetitions: int = 0
    n_windows: int
    n_subjects: int
    n_recordings: int
    corpus_version: str
    model: dict[str, Estimate]
    baseline: dict[str, Estimate]
    baseline_method: str = ""
    baselines: dict[str, Estimate] = Field(default_factory=dict)
    """Headline metric of every baseline, by name; `baseline` is the best of them."""
    alignment: str = "none"
    """How subjects were aligned without labels, and on how many seconds."""
    calibrated: bool = False
    """Whether the alignment used windows of the tested people that are known by their labels."""
    predictor: str = ""
    """What predicts: empty for LaBraM with its own head."""
    share: float = 1.0
    """LaBraM's share of a stacked predictor."""
    labram: dict[str, Estimate] = Field(default_factory=dict)
    """Metrics of LaBraM alone, if the predictor is stacked with the spectral model."""
    random: dict[str, Estimate] = Field(default_factory=dict)
    """Metrics of the same adaptation of random weights, without the spectral model, as means over draws of the weights;
    empty if it was not made."""
    random_draws: int = 1
    random_range: tuple[float, float] | None = None
    """Headline metric of the worst and the best draw."""
    backbone: BackboneProbe | None = None
    """What pre-training adds to a probe of the frozen backbone."""
    pretraining: Estimate = Estimate(value=None)
    """LaBraM alone minus random weights on the headline metric, signed so that above zero pre-training helped."""
    difference: Estimate = Estimate(value=None)
    """Model minus baseline on the headline metric, signed so that above zero the model is better."""
    subject_mean: Estimate = Estimate(value=None)
    """Mean over subjects of each one's headline metric, with an interval by Student's t."""
    subject_difference: Estimate = Estimate(value=None)
    """The same of model minus baseline, signed as `difference`."""
    subjects_defined: int = 0
    """Number of subjects whose own headline metric is defined."""
    p_value: float | None = None
    """Of a permutation test that model and baseline predict subjects equally well (`statistics.swap_test`)."""
    chance: float | None = None
    """Value of the headline metric for predictions that do not depend on the signals."""
    beats_baseline: bool = False
    """Whether the model is better than the baseline and better than chance."""
    significant: bool = False
    bootstrap_draws: int = Field(default=0, validation_alias=AliasChoices("bootstrap_draws", "resamples"))
    undefined_draws: int = Field(default=0, validation_alias=AliasChoices("undefined_draws", "skipped_resamples"))
    by_recording: dict[str, float | None] = Field(default_factory=dict)
    baseline_by_recording: dict[str, float | None] = Field(default_factory=dict)
    confusion: tuple[tuple[int, ...], ...] = ()
    baseline_confusion: tuple[tuple[int, ...], ...] = ()
    scatter: tuple[tuple[int, float, float], ...] = ()
    """(index of the target, true value, predicted value), at most `MAX_POINTS` of them."""
    overlap: int = 0
    """Number of evaluated recordings that were used in training or pre-training, or are of a subject used there."""
    pretrained_subjects: int = 0
    """Number of evaluated subjects whose recordings pre-training used, without labels."""
    test_uses: int = 0
    """How often these recordings had been used for tests in the workspace, this evaluation included; 0: unknown."""
    decisions: Decisions | None = None
    """Decisions at the operating point; None for tasks without one."""
    notes: tuple[str, ...] = ()

    def with_decisions(self, point: OperatingPoint, recipe: OperatingPointRecipe) -> "Evaluation":
        """Return the evaluation with what an operating point reaches on the tested subjects."""
        assert point.test is not None, "a tested point"
        decisions = Decisions(rule=recipe.describe(), by=point.by, threshold=point.threshold, reached=point.test)
        return self.model_copy(update={"decisions": decisions})

    @property
    def against_baseline(self) -> AgainstBaseline:
        """Whether the model beats the baseline: the one answer of terminal, report and model card."""
        if not self.baseline or self.difference.value is None:
            return AgainstBaseline.UNDEFINED
        if not self.beats_baseline:
            return AgainstBaseline.NOT_BETTER
        return AgainstBaseline.BETTER if self.significant else AgainstBaseline.NOT_SIGNIFICANT

    @property
    def tested(self) -> str:
        """How predictions of unseen subjects were obtained, in a phrase: the words of terminal, report and card."""
        subjects = f"{self.n_subjects} subject{'s' * (self.n_subjects != 1)}{', calibrated' * self.calibrated}"
        if self.protocol == "holdout":
            return f"{self.split} split, {subjects}"
        methods = {
            "loso": "leave-one-subject-out (MOABB: CrossSubjectEvaluation)",
            "within-session": "within-session evaluation (MOABB: WithinSessionEvaluation)",
            "cross-session": "cross-session evaluation (MOABB: CrossSessionEvaluation)",
        }
        method = methods.get(self.protocol, f"{self.folds}-fold cross-validation")
        times = f", repeated {self.repetitions} times" if self.repetitions > 1 else ""
        return f"{method} over {subjects}{times}"

    @property
    def marks(self) -> tuple[str, ...]:
        """What a reader of the scores must know about the protocol, in sentences."""
        marks = []
        if self.protocol in ("within-session", "cross-session"):
            marks.append(
                "The scores are of models of one person each, for other windows of the same person. They say nothing "
                f"about new people. The registered model is fitted to all {self.n_subjects}."
            )
        elif self.protocol != "holdout":
            marks.append(
                "The scores are of out-of-fold predictions: every subject is predicted by models that were fitted, "
                f"with all their choices, to other subjects. The registered model is fitted to all {self.n_subjects}"
                f"{'.' if self.predictor else '; those of one fold select its epoch.'}"
            )
        if self.pretrained_subjects:
            marks.append(
                f"Pre-training used recordings, without labels, of {self.pretrained_subjects} of the {self.n_subjects} "
                "tested subjects: scores of LaBraM may be too high for new subjects."
            )
        if self.calibrated:
            marks.append(
                "Calibrated: each tested person's alignment is computed from rest that is known by its labels and not "
                "scored. The score holds for people of whom such rest is recorded first."
            )
        if self.random:
            marks.append(self._twin)
        if self.test_uses:
            times = "once" if self.test_uses == 1 else f"{self.test_uses} times"
            marks.append(f"These test recordings have been used {times} in this workspace, this evaluation included.")
        return tuple(marks)

    @property
    def over_subjects(self) -> str:
        """Means over subjects with t intervals, in a sentence for terminal, report and card; empty if none."""
        if self.subject_mean.low is None:
            return ""
        difference = f", difference from the baseline {self.subject_difference}" if self.baseline else ""
        return (
            f"Mean of each subject's own {self.metric}, with t intervals over subjects: {self.subject_mean}"
            f"{difference} ({self.subjects_defined} of {self.n_subjects} subjects)."
        )

    @property
    def _twin(self) -> str:
        if self.random_draws < 2:
            return "Random weights were drawn once; other draws differ."
        low, high = self.random_range or (np.nan, np.nan)
        return (
            f"Scores of random weights are means over {self.random_draws} draws, whose {self.metric} is {low:.3f} to "
            f"{high:.3f}."
        )

    @property
    def compared(self) -> str:
        """Headline metric of every baseline, in a sentence; empty for one."""
        if len(self.baselines) < 2:
            return ""
        scores = ", ".join(f"{name} {estimate}" for name, estimate in self.baselines.items())
        return f"Baselines: {scores}; the best of them counts."

    @property
    def headline(self) -> Estimate:
        """Estimate of the model's headline metric."""
        return self.model[self.metric]

    def clears(self, floor: float | None) -> bool:
        """Return whether the whole interval of the headline metric is better than `floor`; False without both."""
        worst = self.headline.low if metrics.greater_is_better(self.metric) else self.headline.high
        if worst is None or floor is None or not np.isfinite([worst, floor]).all():
            return False
        return metrics.better(self.metric, worst, floor)

    def write(self, path: Path) -> None:
        """Write indented JSON with a digest (see `labram.checksums`)."""
        checksums.write_json(path, self.model_dump(mode="json"), indent=1)

    @classmethod
    def read(cls, path: Path) -> "Evaluation":
        """Return the evaluation that `write` wrote.

        Raises:
            DamagedFileError: If the file was altered.
        """
        return cls.model_validate(checksums.loads(checksums.read_checked(path)))


def summarise(
    predictions: Predictions,
    task: TaskRecipe,
    *,
    split: str,
    corpus_version: str,
    bootstrap: int,
    seed: int,
    baseline_method: str = "",
    alignment: str = "none",
    predictor: str = "",
    share: float = 1.0,
    overlap: int = 0,
    protocol: Protocol = "holdout",
    pretrained_subjects: int = 0,
    test_uses: int = 0,
    backbone: BackboneProbe | None = None,
    notes: tuple[str, ...] = (),
) -> Evaluation:
    """Compute metrics with confidence intervals over subjects.

    Raises:
        LabelError: If there is no window to evaluate.
    """
    if not len(predictions.y):
        raise LabelError(
            f"no labelled window of task {task.name!r} in split {split!r}",
            field=task.name,
            remedy="Add recordings with labels of this task, or enlarge the split in the recipe",
        )
    draws = statistics.bootstrap(predictions.units, draws=bootstrap, seed=seed)
    count = draws.n_subjects
    subjects = len(set(predictions.subject_key))
    model = statistics.scores(task.kind, predictions.y, predictions.prediction, draws)
    model_estimates, undefined = statistics.estimates(model, count)
    baseline_estimates: dict[str, Estimate] = {}
    difference = Estimate(value=None)
    if predictions.baseline is not None:
        baseline = statistics.scores(task.kind, predictions.y, predictions.baseline, draws)
        baseline_estimates, _ = statistics.estimates(baseline, count)
        difference = statistics.advantage(task.metric, model[task.metric], baseline[task.metric], count)
    alone = _drawn(task, predictions, predictions.labram, draws)
    twins = [_drawn(task, predictions, values, draws) for values in predictions.random]
    random = {name: np.mean([twin[name] for twin in twins], axis=0) for name in model} if twins else {}
    pretraining = (
        statistics.advantage(task.metric, (alone or model)[task.metric], random[task.metric], count)
        if random
        else (Estimate(value=None))
    )
    level = statistics.chance(task.kind, task.metric, predictions.y, len(task.classes))
    chance = level if np.isfinite(level) else None
    value = model_estimates[task.metric].value
    above_chance = value is not None and chance is not None and metrics.better(task.metric, value, chance)
    enough = draws.n_subjects >= statistics.MIN_SUBJECTS
    classes = len(task.classes) if task.kind != "regression" else 0
    return Evaluation(
        task=task.name,
        title=task.title,
        kind=task.kind,
        metric=task.metric,
        classes=task.classes,
        split=split,
        protocol=protocol,
        folds=0 if predictions.fold is None else len(np.unique(predictions.fold)),
        repetitions=predictions.repetitions,
        n_windows=len(predictions.y) // max(predictions.repetitions, 1),
        n_subjects=subjects,
        n_recordings=len(set(predictions.recording_id)),
        corpus_version=corpus_version,
        model=model_estimates,
        baseline=baseline_estimates,
        baseline_method=baseline_method,
        baselines={
            name: statistics.estimates(_drawn(task, predictions, values, draws), count)[0][task.metric]
            for name, values in predictions.baselines.items()
        },
        alignment=alignment,
        calibrated=task.alignment.source == "rest",
        predictor=predictor,
        share=share,
        labram=statistics.estimates(alone, count)[0],
        random=statistics.estimates(random, count)[0],
        random_draws=max(len(twins), 1),
        random_range=_range([float(twin[task.metric][0]) for twin in twins]),
        backbone=backbone,
        pretraining=pretraining,
        difference=difference,
        **_over_subjects(task, predictions),
        p_value=_p_value(task, predictions, min(bootstrap, MOST_SWAPS), seed),
        chance=chance,
        beats_baseline=above_chance and difference.value is not None and difference.value > 0,
        significant=enough and difference.excludes_zero(),
        bootstrap_draws=draws.n_draws,
        undefined_draws=undefined,
        by_recording=by_recording(predictions, predictions.prediction, task.kind),
        baseline_by_recording=by_recording(predictions, predictions.baseline, task.kind),
        confusion=_confusion(predictions.y, predictions.prediction, classes),
        baseline_confusion=_confusion(predictions.y, predictions.baseline, classes),
        scatter=() if classes else _points(predictions.y, predictions.prediction),
        overlap=overlap,
        pretrained_subjects=pretrained_subjects,
        test_uses=test_uses,
        notes=(
            *notes,
            *_about_chance(task.metric, chance, model_estimates, baseline_estimates),
            *_about_values(predictions.prediction),
            *_about_errors(predictions, task),
            *_about_groups(count, subjects, grouped=predictions.group is not None),
            *_cautions(count, undefined, draws.n_draws, "group" if predictions.group is not None else "subject"),
        ),
    )


def _over_subjects(task: TaskRecipe, predictions: Predictions) -> dict[str, Any]:
    """Return the mean of the subjects' own scores, and of their differences from the baseline, with t intervals."""
    kind, metric, y, subjects = task.kind, task.metric, predictions.y, predictions.units
    ours = statistics.by_subject(kind, metric, y, predictions.prediction, subjects)
    found: dict[str, Any] = {
        "subject_mean": statistics.t_interval(ours),
        "subjects_defined": int(np.isfinite(ours).sum()),
    }
    if predictions.baseline is not None:
        theirs = statistics.by_subject(kind, metric, y, predictions.baseline, subjects)
        gain = ours - theirs if metrics.greater_is_better(metric) else theirs - ours
        found["subject_difference"] = statistics.t_interval(gain)
    return found


def _p_value(task: TaskRecipe, predictions: Predictions, draws: int, seed: int) -> float | None:
    if predictions.baseline is None or len(set(predictions.units)) < 2:
        return None
    return statistics.swap_test(
        task.kind,
        task.metric,
        predictions.y,
        predictions.prediction,
        predictions.baseline,
        predictions.units,
        draws=draws,
        seed=seed,
    )


def _range(values: Sequence[float]) -> tuple[float, float] | None:
    return (min(values), max(values)) if values and np.isfinite(values).all() else None


def _drawn(
    task: TaskRecipe, predictions: Predictions, values: Array | None, draws: statistics.Bootstrap
) -> dict[str, Array]:
    return {} if values is None else statistics.scores(task.kind, predictions.y, values, draws)


def _about_chance(
    metric: str, chance: float | None, model: Mapping[str, Estimate], baseline: Mapping[str, Estimate]
) -> tuple[str, ...]:
    notes = []
    for name, estimate in (("model", model.get(metric)), ("baseline", baseline.get(metric))):
        if chance is None or estimate is None or estimate.value is None:
            continue
        if not metrics.better(metric, estimate.value, chance):
            notes.append(f"The {name} is not better than chance ({metric} {chance:.3g}).")
    return tuple(notes)


def _about_values(prediction: Array) -> tuple[str, ...]:
    finite = np.isfinite(prediction).reshape(len(prediction), -1).all(axis=1)
    if finite.all():
        return ()
    return (f"The model's predictions of {np.count_nonzero(~finite)} windows are not finite; no metric is defined.",)


def _about_errors(predictions: Predictions, task: TaskRecipe) -> tuple[str, ...]:
    """Return a note with the slope of error against target: 0 at best, -1 if predictions do not depend on it."""
    if task.kind != "regression" or not np.isfinite(predictions.prediction).all():
        return ()
    targets = predictions.y.reshape(len(predictions.y), -1)
    errors = predictions.prediction.reshape(targets.shape) - targets
    slopes = [
        f"{name} {round(np.polyfit(targets[:, index], errors[:, index], 1)[0], 2) + 0.0:.2f}"
        for index, name in enumerate(task.classes)
        if np.ptp(targets[:, index]) > 0
    ]
    if not slopes:
        return ()
    return (f"Slope of error against target (0: none; -1: the same prediction for all): {', '.join(slopes)}.",)


def _about_groups(groups: int, subjects: int, *, grouped: bool) -> tuple[str, ...]:
    if not grouped:
        return ()
    return (f"Intervals and tests draw {groups} groups of the {subjects} subjects, who stay together.",)


def _cautions(units: int, undefined: int, draws: int, unit: str) -> tuple[str, ...]:
    cautions = []
    if units < 2:
        cautions.append(f"One {unit}: no confidence interval can be computed.")
    elif units < statistics.MIN_SUBJECTS:
        cautions.append(
            f"{units} {unit}s are too few to call a difference significant "
            f"(at least {statistics.MIN_SUBJECTS} are needed)."
        )
    if undefined:
        cautions.append(f"{undefined} of {draws} bootstrap draws left out: a metric was undefined for their subjects.")
    return tuple(cautions)


def _confusion(y: Array, prediction: Array | None, classes: int) -> tuple[tuple[int, ...], ...]:
    if prediction is None or not classes:
        return ()
    counts = metrics.confusion(y, prediction, classes).tolist()
    return tuple(tuple(int(count) for count in row) for row in counts)


def _points(y: Array, prediction: Array) -> tuple[tuple[int, float, float], ...]:
    """Return points of the scatter plot, evenly spaced over the windows."""
    y_nM, p_nM = y.reshape(len(y), -1), prediction.reshape(len(y), -1)
    finite = np.isfinite(p_nM).all(axis=1)
    y_nM, p_nM = y_nM[finite], p_nM[finite]
    if not len(y_nM):
        return ()
    rows = np.unique(np.linspace(0, len(y_nM) - 1, max(1, MAX_POINTS // y_nM.shape[1])).round().astype(int))
    return tuple(
        (target, round(float(y_nM[row, target]), 6), round(float(p_nM[row, target]), 6))
        for target in range(y_nM.shape[1])
        for row in rows
    )
