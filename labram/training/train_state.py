"""The state of a training, which a checkpoint stores: model, optimiser, metric accumulator, counters and history."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from labram.errors import CheckpointError
from labram.recipe import OptimiserRecipe
from labram.training.checkpoints import Checkpoint, Tensors
from labram.training.distributed.fsdp import replicated_tensors, shard_like
from labram.training.metric_accumulator import MetricAccumulator
from labram.training.optimiser import adamw

Row = dict[str, Any]
TRAINING, VALIDATION = "training", "validation"


@dataclass
class Progress:
    """Counters and history, which a checkpoint stores as JSON.

    Attributes:
        step: Number of completed steps.
        history: Rows ``{"step", "phase", metric: value, ...}`` with phase ``training`` or ``validation``.
        best: Metrics of the best validation.
        best_step: Step of the best validation.
        stale: Number of validations since the best one.
        stopped: Whether training was stopped early.
        resumed: Steps after which training was resumed from a checkpoint.
    """

    step: int = 0
    history: list[Row] = field(default_factory=list)
    best: dict[str, float] | None = None
    best_step: int = 0
    stale: int = 0
    stopped: bool = False
    resumed: list[int] = field(default_factory=list)

    def record(self, phase: str, metrics: Mapping[str, float]) -> None:
        """Append a row to the history. JSON has no NaN, so undefined metrics are omitted."""
        defined = {name: value for name, value in sorted(metrics.items()) if math.isfinite(value)}
        self.history.append({"step": self.step, "phase": phase, **defined})

    @property
    def validation_loss(self) -> float | None:
        """Validation loss of the current step, or None if it was not validated."""
        last = self.history[-1] if self.history else {}
        validated = (last.get("step"), last.get("phase")) == (self.step, VALIDATION)
        return last.get("loss") if validated else None

    def final_metrics(self) -> dict[str, float]:
        """Return the metrics of the best validation, else of the last validation, else of the last logged step."""
        if self.best is not None:
            return {**self.best, "best_step": float(self.best_step)}
        for phase in (VALIDATION, TRAINING):
            for row in reversed(self.history):
                if row["phase"] == phase:
                    return {name: value for name, value in row.items() if name not in ("step", "phase")}
        return {}


class TrainState:
    """Everything that changes during a training.

    Args:
        model: The trained model, on its device.
        groups: Parameter groups, see `labram.training.optimiser.parameter_groups`.
        recipe: Optimiser settings.
    """

    def __init__(self, model: nn.Module, groups: list[dict[str, Any]], recipe: OptimiserRecipe) -> None:
        self.model = model
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.device = self.parameters[0].device
        self.sharded = not replicated_tensors(self.parameters)
        self.optimiser = adamw(groups, recipe)
        self.accumulator = MetricAccumulator(self.device)
        self.progress = Progress()
        self.best_weights: Tensors = {}
        self.average: Tensors = {}

    def keep_best_weights(self) -> None:
        """Copy the current weights as the best ones."""
        self.best_weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the average of the weights towards the weights; in the first steps it moves faster.

        Args:
            decay: Share of the average that remains. 0: there is no average.
        """
        if not decay:
            return
        decay = min(decay, (1 + self.progress.step) / (10 + self.progress.step))
        for name, value in self.model.state_dict().items():
            if name in self.average and value.is_floating_point():
                self.average[name].lerp_(value, 1.0 - decay)
            else:
                self.average[name] = value.detach().clone()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the model the average of its weights, if there is one, and its own weights back afterwards."""
        if not self.average:
            yield
            return
        own = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.load_weights(self.average)
        try:
            yield
        finally:
            self.load_weights(own)

    def load_weights(self, weights: Tensors) -> None:
        """Load unsharded weights into the model."""
        current = self.model.state_dict()
        self.model.load_state_dict(
            {name: shard_like(value, current.get(name, value)) for name, value in weights.items()}
        )

    def checkpoint(self, identity: Mapping[str, Any]) -> Checkpoint:
        """Return a checkpoint whose tensors share memory with this state."""
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        moments = {
            f"{names[id(parameter)]}/{key}": value
            for parameter, values in self.optimiser.state.items()
            for key, value in values.items()
        }
        tensors = {"weights": self.model.state_dict(), "optimiser": moments, "running": self.accumulator.state_dict()}
        if self.best_weights:
            tensors["best"] = self.best_weights
        if self.average:
            tensors["average"] = self.average
        progress = self.progress
        counters = {key: value for key, value in vars(progress).items() if key not in ("step", "history")}
        return Checkpoint(progress.step, identity, tensors, counters, progress.history, progress.validation_loss)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Load a checkpoint.

        Raises:
            CheckpointError: If its weights do not fit the model.
        """
        try:
            self.load_weights(checkpoint.tensors["weights"])
        except RuntimeError as error:  # raised by PyTorch for other names or shapes
            raise CheckpointError(
                f"the checkpoint of step {checkpoint.step} was written for another model architecture",
                remedy="Restore the architecture, or use another checkpoint folder to start from step 0",
            ) from error
        parameters = dict(self.model.named_parameters())
        for name, value in checkpoint.tensors["optimiser"].items():
            owner, _, key = name.rpartition("/")
            parameter = parameters[owner]
            moment = shard_like(value, parameter) if value.ndim else value.to(self.device)
            self.optimiser.state[parameter][key] = moment
        self.accumulator.load_state_dict(checkpoint.tensors["running"])
        self.best_weights = checkpoint.tensors.get("best", {})
        average = checkpoint.tensors.get("average", {})
        self.average = {name: value.to(self.device, copy=True) for name, value in average.items()}
        self.progress = Progress(checkpoint.step, list(checkpoint.history), **checkpoint.state)  # type: ignore[arg-type]
