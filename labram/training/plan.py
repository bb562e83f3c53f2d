"""The schedule of a training: steps, learning rate, logging, validation and checkpoints."""

from dataclasses import dataclass

from labram.recipe import OptimiserRecipe, TaskRecipe, TrainingRecipe
from labram.recipe.schema import CHECKPOINT_MINUTES

TASK_LOG_EVERY, TASK_CHECKPOINT_EVERY = 10, 200
"""Steps of fine-tuning between logged metrics and between checkpoints; at most an epoch."""


@dataclass(frozen=True)
class ModelSelection:
    """Early stopping, and keeping the best weights by a validation metric.

    Attributes:
        metric: Name of the metric; ties are broken by the loss.
        patience: Number of validations without improvement after which training stops.
    """

    metric: str
    patience: int


@dataclass(frozen=True)
class TrainingPlan:
    """The schedule of a training.

    Attributes:
        steps: Total number of optimiser steps.
        warmup_steps: Steps of linear learning-rate warm-up.
        optimiser: Optimiser settings.
        seed: Random seed.
        log_every: Steps between logged metrics.
        validate_every: Steps between validations.
        checkpoint_every: Steps between checkpoints.
        threads: CPU threads.
        checkpoint_every_minutes: Maximum minutes between checkpoints.
        unit: Unit of batch weights, for the reported throughput.
        selection: Model selection; None: the last weights are kept.
        weight_average: Decay, per step, of the average of the weights that is validated and kept; 0: none.
        validate_first: Whether to validate before the first step, so that the initial weights can be the best.
    """

    steps: int
    warmup_steps: int
    optimiser: OptimiserRecipe
    seed: int
    log_every: int
    validate_every: int
    checkpoint_every: int
    threads: int
    checkpoint_every_minutes: float = CHECKPOINT_MINUTES
    unit: str = "patches"
    selection: ModelSelection | None = None
    weight_average: float = 0.0
    validate_first: bool = False


def pretraining_plan(recipe: TrainingRecipe, seed: int, selection: ModelSelection | None = None) -> TrainingPlan:
    """Return the schedule of a self-supervised stage, with any model selection."""
    return TrainingPlan(
        steps=recipe.steps,
        warmup_steps=recipe.warmup_steps,
        optimiser=recipe.optimiser,
        seed=seed,
        log_every=recipe.log_every,
        validate_every=recipe.validate_every,
        checkpoint_every=recipe.checkpoint_every,
        threads=recipe.threads,
        checkpoint_every_minutes=recipe.checkpoint_every_minutes,
        selection=selection,
    )


def task_plan(task: TaskRecipe, steps_per_epoch: int, seed: int, *, select: bool) -> TrainingPlan:
    """Return the schedule of fine-tuning, which validates after each epoch.

    Args:
        task: Settings.
        steps_per_epoch: Steps in an epoch.
        seed: Random seed.
        select: Whether to keep the best epoch by the task's metric.
    """
    return TrainingPlan(
        steps=task.epochs * steps_per_epoch,
        warmup_steps=round(task.warmup_epochs * steps_per_epoch),
        optimiser=task.optimiser,
        seed=seed,
        log_every=min(TASK_LOG_EVERY, steps_per_epoch),
        validate_every=steps_per_epoch,
        checkpoint_every=min(TASK_CHECKPOINT_EVERY, steps_per_epoch),
        threads=task.threads,
        unit="windows",
        selection=ModelSelection(task.metric, task.patience) if select else None,
        weight_average=task.weight_average,
        validate_first=task.adaptation.strategy == "two-stage",
    )
