"""The record of a backbone's probe: frozen embeddings beside those of random weights, on subjects held out."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from labram.evaluation import statistics
from labram.evaluation.predictions import Predictions
from labram.evaluation.statistics import MIN_SUBJECTS, Estimate
from labram.frozen_model import FrozenModel
from labram.recipe import TaskRecipe


class BackboneProbe(FrozenModel):
    """What pre-training adds to a task, measured in closed form on frozen embeddings.

    Attributes:
        task: Name of the task.
        metric: Its headline metric.
        pooling: Pooling of the embeddings.
        subjects: Number of subjects, each predicted by probes of others.
        score: Headline metric of the backbone.
        random: Mean of the headline metric over draws of random weights.
        draws: Their number.
        lowest: Headline metric of the worst draw; None if undefined.
        highest: That of the best draw.
        difference: Backbone minus the mean of the draws on the same subjects, signed so that above zero pre-training
            helped, with a paired interval over subjects.
        seen: How many of the subjects pre-training used, without labels.
    """

    task: str
    metric: str
    pooling: str
    subjects: int
    score: Estimate
    random: Estimate
    draws: int
    lowest: float | None
    highest: float | None
    difference: Estimate
    seen: int = 0

    @property
    def outcome(self) -> str:
        """Comparison with random weights, by the paired interval."""
        if self.difference.value is None:
            return "cannot be compared with random weights"
        if self.subjects < MIN_SUBJECTS or not self.difference.excludes_zero():
            return "does not differ significantly from random weights"
        direction = "better" if self.difference.value > 0 else "worse"
        return f"is significantly {direction} than random weights"

    @property
    def better(self) -> bool:
        """Whether the backbone is significantly better than random weights."""
        return "better" in self.outcome

    @property
    def worse(self) -> bool:
        """Whether it is significantly worse."""
        return "worse" in self.outcome

    def describe(self) -> str:
        """Return scores and outcome in a sentence."""
        span = f", {self.lowest:.3f} to {self.highest:.3f}" if self.lowest is not None and self.draws > 1 else ""
        draws = f"mean of {self.draws} draws{span}" if self.draws > 1 else "one draw"
        seen = f"; pre-training used {self.seen} of the {self.subjects} subjects, without labels" if self.seen else ""
        return (
            f"{self.task}: {self.metric} {self.score}, random weights {self.random} ({draws}), "
            f"difference {self.difference}: {self.outcome}{seen}"
        )


def twins_of(predictions: Predictions) -> Predictions | None:
    """Return the predictions of LaBraM alone and of random weights; None without the latter."""
    if not predictions.random:
        return None
    return predictions if predictions.labram is None else replace(predictions, prediction=predictions.labram)


def compared(
    twins: Predictions | None, task: TaskRecipe, *, bootstrap: int, seed: int, pretrained: Collection[str] = ()
) -> BackboneProbe | None:
    """Compare backbone and random weights on the subjects that pre-training did not use; on all if these are too few.

    Args:
        twins: Predictions of the backbone, with those of random weights, for the same windows.
        task: The task.
        bootstrap: Number of bootstrap draws of subjects.
        seed: Seed of these.
        pretrained: Subjects that pre-training used.
    """
    if twins is None or not twins.random:
        return None
    seen = np.isin(twins.subject_key.astype(str), list(pretrained))
    if len(set(twins.units[~seen])) >= statistics.MIN_SUBJECTS:
        twins, seen = twins.rows(np.flatnonzero(~seen)), seen[~seen]
    drawn = statistics.bootstrap(twins.units, draws=bootstrap, seed=seed)
    count = drawn.n_subjects
    ours = statistics.scores(task.kind, twins.y, twins.prediction, drawn)[task.metric]
    theirs = [statistics.scores(task.kind, twins.y, each, drawn)[task.metric] for each in twins.random]
    mean = np.mean(theirs, axis=0)
    single = [float(each[0]) for each in theirs]
    finite = bool(np.isfinite(single).all())
    difference = statistics.advantage(task.metric, ours, mean, count)
    return BackboneProbe(
        task=task.name,
        metric=task.metric,
        pooling=task.adaptation.pooling,
        subjects=count,
        score=statistics.estimate(ours, count),
        random=statistics.estimate(mean, count),
        draws=len(theirs),
        lowest=min(single) if finite else None,
        highest=max(single) if finite else None,
        difference=difference if finite else Estimate(value=None),
        seen=len(set(twins.units[seen])),
    )
