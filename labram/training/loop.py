"""The training loop: forward, backward, clip, step, log, validate, checkpoint.

A step consists of micro-batches, whose gradients are summed with weights by patches (or windows). All randomness of a
step is a function of seed, step and micro-batch, so a checkpoint needs no random state: a resumed training ends with
the same bits as an uninterrupted one (on the CPU, with the same number of threads). Micro-batches may be distributed
over several ranks (`labram.training.distributed.process_group`); the number of ranks only changes the order of sums.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from labram.errors import TrainingError
from labram.events import Monitor
from labram.memory import keep_freed_memory
from labram.metrics import better
from labram.training import device as devices
from labram.training.async_checkpoint import AsyncCheckpointWriter
from labram.training.checkpoints import Checkpoint, Checkpoints, Tensors
from labram.training.data import seeds
from labram.training.data.labelled import LabelledBatch
from labram.training.data.windows import ALL, WindowBatch
from labram.training.distributed.fsdp import full_tensor, replicated_tensors
from labram.training.distributed.process_group import ProcessGroup
from labram.training.notify import warn_user
from labram.training.objectives.objective import Metrics, Objective, weighted_sum
from labram.training.optimiser import learning_rate, set_learning_rate
from labram.training.plan import ModelSelection, TrainingPlan
from labram.training.preemption import EXIT_CODE, PreemptionFlag, catch_sigterm
from labram.training.train_state import TRAINING, VALIDATION, Row, TrainState

Batch = TypeVar("Batch", bound=WindowBatch | LabelledBatch)
BatchSource = TypeVar("BatchSource", bound=WindowBatch | LabelledBatch, covariant=True)
MAX_CONSECUTIVE_NONFINITE = 2
"""Consecutive steps with a non-finite loss or gradient that are skipped; one more ends the training."""


class Batches(Protocol[BatchSource]):
    """A source of micro-batches."""

    def batch(self, step: int, share: slice = ALL) -> Sequence[BatchSource]:
        """Return the micro-batches of a step, counted from 0, or a slice of them. A function of the arguments only."""
        ...


@dataclass(frozen=True)
class FitResult:
    """Outcome of a training; the model itself holds the weights.

    Attributes:
        step: Number of completed steps.
        history: Rows ``{"step", "phase", metric: value, ...}`` with phase ``training`` or ``validation``.
        metrics: Metrics of the last validation, or of the best one if there is a model selection.
        skipped_steps: Number of steps that were skipped because loss or gradient was not finite.
        resumed: Steps after which training was resumed from a checkpoint; not part of the result.
    """

    step: int
    history: tuple[Row, ...]
    metrics: dict[str, float]
    skipped_steps: int
    resumed: tuple[int, ...] = field(compare=False)


def fit(
    objective: Objective[Batch],
    batches: Batches[Batch],
    validation: Sequence[Batch],
    plan: TrainingPlan,
    *,
    groups: list[dict[str, Any]],
    checkpoints: Checkpoints,
    identity: Mapping[str, Any],
    monitor: Monitor,
    initialise: Callable[[], None] | None = None,
    allow: bool = False,
) -> FitResult:
    """Train a model, resuming from the newest checkpoint if there is one.

    Args:
        objective: Loss and metrics; its model is on its device and has initial weights.
        batches: Source of training micro-batches.
        validation: Held-out batches; may be empty.
        plan: Schedule.
        groups: Parameter groups, see `labram.training.optimiser.parameter_groups`.
        checkpoints: Checkpoint folder.
        identity: Settings and data that the result depends on, as nested JSON values.
        monitor: Receives progress, metrics and notes.
        initialise: Called before the first step, unless training resumes.
        allow: Resume from a checkpoint of another identity, with a warning that lists the differences.

    Raises:
        CheckpointError: If the newest checkpoint has another identity.
        TrainingError: If loss or gradient was not finite in three consecutive steps, or the loss of a validation.
        SystemExit: With code 143 after SIGTERM, once a checkpoint is written.
    """
    keep_freed_memory()
    writer = AsyncCheckpointWriter(
        checkpoints, lambda error: warn_user(monitor, f"training continues without a checkpoint: {error}")
    )
    loop = _Loop(objective, batches, plan, groups, writer, identity, monitor)
    with devices.reproducible(loop.device, plan.threads), catch_sigterm() as preemption, writer:
        loop.begin(lambda: checkpoints.newest(identity, lambda text: warn_user(monitor, text), allow=allow), initialise)
        loop.validate_first(validation)
        while not loop.finished:
            if loop.step(preemption):
                loop.report(validation)
            loop.save_if_due(preemption)
        return loop.finish()


class _Loop(Generic[Batch]):
    """The parts of `fit`."""

    def __init__(
        self,
        objective: Objective[Batch],
        batches: Batches[Batch],
        plan: TrainingPlan,
        groups: list[dict[str, Any]],
        writer: AsyncCheckpointWriter,
        identity: Mapping[str, Any],
        monitor: Monitor,
    ) -> None:
        self.objective, self.batches, self.plan, self.monitor = objective, batches, plan, monitor
        self.writer, self.identity = writer, identity
        self.group = ProcessGroup.current()
        self.model: nn.Module = objective.model
        self.state = TrainState(self.model, groups, plan.optimiser)
        self.device = self.state.device
        self._loss = math.nan
        self._clock, self._throughput = time.monotonic(), math.nan
        self._saved_at = time.monotonic()

    @property
    def finished(self) -> bool:
        return self.state.progress.stopped or self.state.progress.step >= self.plan.steps

    def begin(self, newest: Callable[[], Checkpoint | None], initialise: Callable[[], None] | None) -> None:
        """Restore rank 0's newest checkpoint on all ranks, or initialise the model."""
        checkpoint = self._broadcast_checkpoint(newest)
        if checkpoint is not None:
            self.state.restore(checkpoint)
            if not self.finished:
                self.state.progress.resumed.append(checkpoint.step)
            self.monitor.note(f"resuming after step {checkpoint.step} of {self.plan.steps}")
        else:
            if initialise is not None:
                torch.manual_seed(seeds.torch_seed(self.plan.seed))
                initialise()
            self.group.broadcast(replicated_tensors(self.model.state_dict().values()))
        self.model.train()
        self._clock = time.monotonic()

    def _broadcast_checkpoint(self, newest: Callable[[], Checkpoint | None]) -> Checkpoint | None:
        """Return rank 0's checkpoint. Tensors are sent one by one: a pickled object takes four times their size."""
        own = newest() if self.group.is_main else None
        metadata = self.group.compute_on_main(lambda: own and own.map_tensors(_to_meta))
        checkpoint = own or (metadata and metadata.map_tensors(_empty_like))
        for tensors in checkpoint.tensors.values() if checkpoint else ():
            self.group.broadcast(list(tensors.values()))
        return checkpoint

    def step(self, preemption: PreemptionFlag) -> bool:
        """Take one optimiser step. If loss or gradient is not finite, weights and buffers stay unchanged.

        Returns:
            Whether the step was completed. After SIGTERM a single process abandons it, with buffers restored; several
            processes must first agree, and complete it.
        """
        group, progress = self.group, self.state.progress
        batches = self.batches.batch(progress.step, group.local_slice)
        set_learning_rate(self.state.optimiser, self._learning_rate(progress.step))
        buffers = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        total = group.sum_on_host(sum(batch.weight for batch in batches))
        means = self._backward(batches, total, preemption)
        if means is None:
            for buffer, before in buffers:
                buffer.copy_(before)
            return False
        gradients = [parameter.grad for parameter in self.state.parameters if parameter.grad is not None]
        group.all_reduce(replicated_tensors([*gradients, *means.values(), *self.objective.step_statistics]))
        means["grad_norm"] = self._clip(gradients)
        finite = torch.isfinite(means["loss"]) & torch.isfinite(means["grad_norm"])
        self._apply(finite, buffers, batches)
        progress.step += 1
        self.state.update_average(self.plan.weight_average)
        self.state.accumulator.add(means, finite, progress.step)
        self._observe(means["loss"], total)
        self._check_nonfinite()
        return True

    def _backward(self, batches: Sequence[Batch], total: int, preemption: PreemptionFlag) -> Metrics | None:
        """Accumulate gradients and return this rank's share of the mean metrics, or None if preempted."""
        parts = []
        for index, batch in enumerate(batches):
            if preemption.requested and self.group.world_size == 1:
                return None
            seed = seeds.torch_seed(self.plan.seed, self.state.progress.step, self.group.global_index(index))
            torch.manual_seed(seed)
            loss, metrics = self.objective.loss(batch, torch.Generator().manual_seed(seed))
            (loss * (batch.weight / total)).backward()
            parts.append((batch.weight / total, metrics))
        return weighted_sum(parts)

    def validate_first(self, validation: Sequence[Batch]) -> None:
        """Validate the initial weights if the plan wants it and no step was taken."""
        if self.plan.validate_first and validation and self.state.progress.step == 0:
            self._validate(validation)

    def report(self, validation: Sequence[Batch]) -> None:
        """Log and validate if due, and report progress."""
        step, plan = self.state.progress.step, self.plan
        if step in (1, plan.steps) or step % plan.log_every == 0:
            self._log()
        if validation and (step == plan.steps or step % plan.validate_every == 0):
            self._validate(validation)
        self.monitor.progress(step, plan.steps, loss=self._loss, **{f"{plan.unit}_per_s": self._throughput})

    def save_if_due(self, preemption: PreemptionFlag) -> None:
        """Write a checkpoint if due, and exit if any rank received SIGTERM."""
        progress = self.state.progress
        due = progress.step % self.plan.checkpoint_every == 0 or progress.validation_loss is not None
        overdue = self.group.sum_on_host(self._minutes_since_save() >= self.plan.checkpoint_every_minutes) > 0
        preempted = self.group.sum_on_host(preemption.requested) > 0
        if due or overdue or self.finished or preempted:
            self._save()
        if preempted and not self.finished:
            self.writer.flush()
            self.group.barrier()
            raise SystemExit(EXIT_CODE)

    def finish(self) -> FitResult:
        """Load the best weights into the model and return the result."""
        self.writer.flush()
        if kept := self.state.best_weights or self.state.average:
            self.state.load_weights(kept)
        self.model.eval()
        progress, skipped = self.state.progress, self.state.accumulator.skipped_steps
        history, resumed = tuple(progress.history), tuple(progress.resumed)
        return FitResult(progress.step, history, progress.final_metrics(), skipped, resumed)

    def _learning_rate(self, step: int) -> float:
        plan = self.plan
        peak, floor = plan.optimiser.peak_lr, plan.optimiser.min_lr
        return learning_rate(step, steps=plan.steps, warmup_steps=plan.warmup_steps, peak=peak, floor=floor)

    def _clip(self, gradients: list[Tensor]) -> Tensor:
        """Clip the gradient if the recipe has a `clip_norm`, and return its norm before clipping."""
        norm = full_tensor(nn.utils.get_total_norm(gradients))
        if self.plan.optimiser.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(self.state.parameters, self.plan.optimiser.clip_norm, norm)
        return norm

    def _apply(self, finite: Tensor, buffers: Sequence[tuple[Tensor, Tensor]], batches: Sequence[Batch]) -> None:
        """Step if `finite`, without synchronising the device: fused AdamW skips a step with `found_inf`."""
        optimiser, step = self.state.optimiser, self.state.progress.step
        optimiser.found_inf = (~finite).float()  # type: ignore[attr-defined]
        optimiser.step()
        optimiser.zero_grad()
        torch.manual_seed(seeds.torch_seed(self.plan.seed, step))
        self.objective.after_step(step + 1, batches)
        for buffer, before in buffers:
            buffer.copy_(torch.where(finite, buffer, before))

    def _observe(self, loss: Tensor, weight: int) -> None:
        """Update the reported throughput, and on the CPU the loss; on a GPU `_log` does, to avoid a synchronisation."""
        now = time.monotonic()
        throughput = weight / max(now - self._clock, 1e-9)
        smoothed = 0.9 * self._throughput + 0.1 * throughput
        self._throughput = throughput if math.isnan(self._throughput) else smoothed
        self._clock = now
        if self.device.type == "cpu":
            self._loss = float(loss)

    def _check_nonfinite(self) -> None:
        """Raise if too many consecutive steps were not finite. On a GPU this is checked at logged steps only."""
        if self.device.type != "cpu" and self.state.progress.step % self.plan.log_every:
            return
        length = MAX_CONSECUTIVE_NONFINITE + 1
        if (last := self.state.accumulator.last_step_of_nonfinite_run(length)) is not None:
            batches = self.batches.batch(last - 1, self.group.local_slice)
            names = sorted(set(self.group.all_gather([name for batch in batches for name in batch.recording_ids])))
            raise TrainingError(
                f"loss or gradient was not finite in {length} consecutive steps, up to step {last}, whose windows are "
                f"from {', '.join(names)}",
                remedy="Lower optimiser.peak_lr, set optimiser.clip_norm, or inspect these recordings",
            )

    def _log(self) -> None:
        means = self.state.accumulator.pop_means()
        if means is None:
            return
        progress = self.state.progress
        metrics = self.objective.summarise(means)
        self._loss = metrics["loss"]
        metrics["lr"] = self._learning_rate(progress.step - 1)
        metrics["skipped_steps"] = float(self.state.accumulator.skipped_steps)
        progress.record(TRAINING, metrics)
        self.monitor.metrics(progress.step, {**metrics, f"{self.plan.unit}_per_s": self._throughput})

    def _validate(self, validation: Sequence[Batch]) -> None:
        with self.state.averaged():
            self._validate_weights(validation)
        self._clock = time.monotonic()

    def _validate_weights(self, validation: Sequence[Batch]) -> None:
        own = self._evaluate(validation) if self.group.is_main or self.state.sharded else {}
        metrics = self.group.compute_on_main(lambda: own)
        progress = self.state.progress
        progress.record(VALIDATION, metrics)
        self.monitor.metrics(progress.step, {f"{VALIDATION}/{name}": value for name, value in metrics.items()})
        if not math.isfinite(metrics["loss"]):
            raise TrainingError(
                f"the validation loss after step {progress.step} is not finite",
                remedy="Lower optimiser.peak_lr, set optimiser.clip_norm, or inspect the recordings of the validation "
                "split",
            )
        if self.plan.selection:
            self._select(metrics, self.plan.selection)

    def _evaluate(self, validation: Sequence[Batch]) -> dict[str, float]:
        self.model.eval()
        with torch.no_grad():
            metrics = self.objective.validate(validation)
        self.model.train()
        return metrics

    def _select(self, metrics: dict[str, float], selection: ModelSelection) -> None:
        progress = self.state.progress
        if progress.best is None or _improves(selection.metric, metrics, progress.best):
            progress.best, progress.best_step, progress.stale = metrics, progress.step, 0
            self.state.keep_best_weights()
        else:
            progress.stale += 1
            progress.stopped = progress.stale >= selection.patience

    def _minutes_since_save(self) -> float:
        return (time.monotonic() - self._saved_at) / 60

    def _save(self) -> None:
        """Start writing a checkpoint on rank 0. If writing fails, training continues and tries again when next due."""
        if self.group.is_main or self.state.sharded:
            self.writer.save(self.state.checkpoint(self.identity))
        self._clock = self._saved_at = time.monotonic()


def _to_meta(tensors: Tensors) -> Tensors:
    """Return meta tensors: shapes and types without values."""
    return {name: tensor.to("meta") for name, tensor in tensors.items()}


def _empty_like(metadata: Tensors) -> Tensors:
    """Return uninitialised CPU tensors of the same shapes and types."""
    return {name: torch.empty_like(tensor, device="cpu") for name, tensor in metadata.items()}


def _improves(metric: str, new: Mapping[str, float], best: Mapping[str, float]) -> bool:
    if new[metric] == best[metric] or (math.isnan(new[metric]) and math.isnan(best[metric])):
        return new["loss"] < best["loss"]
    return better(metric, new[metric], best[metric])
