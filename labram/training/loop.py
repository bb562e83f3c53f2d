"""The one training loop: forward, backward, clip, step, log, validate, checkpoint.

A step consists of micro-batches whose gradients are added up, each weighted by its patches (or windows). Everything
random in a step is a function of (seed, step, micro-batch), so a checkpoint needs no random state, and a training that
was killed and goes on ends with the same bits as one that was not (on the CPU, with the same number of threads). The
micro-batches may be distributed over several ranks (`labram.training.distributed.process_group`); with another number
of ranks the same batches are trained on, and only the order of the sums differs.
"""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from labram.errors import CheckpointError, LabramWarning, TrainingError
from labram.events import Monitor
from labram.memory import keep_freed_memory
from labram.recipe import OptimiserRecipe
from labram.training import device as devices
from labram.training.async_checkpoint import Writer
from labram.training.checkpoints import Checkpoint, Checkpoints, Tensors
from labram.training.data import seeds
from labram.training.data.labelled import LabelledBatch
from labram.training.data.windows import ALL, WindowBatch
from labram.training.distributed.fsdp import replicated, share, whole
from labram.training.distributed.process_group import Ranks
from labram.training.metric_accumulator import Running
from labram.training.objectives import Objective, weighted_sum
from labram.training.optimiser import adamw, learning_rate, set_learning_rate
from labram.training.preemption import EXIT_CODE, Interruption, noticed
from labram.training.scores import better

Batch = TypeVar("Batch", bound=WindowBatch | LabelledBatch)
Given = TypeVar("Given", bound=WindowBatch | LabelledBatch, covariant=True)
Row = dict[str, Any]
FAULTS_TOLERATED = 2
"""Steps in a row whose loss or gradient is not finite; one more ends the training."""
TRAINING, VALIDATION = "training", "validation"


class Batches(Protocol[Given]):
    """Where the micro-batches of a step come from."""

    def batch(self, step: int, share: slice = ALL) -> Sequence[Given]:
        """The micro-batches of a step, counted from 0, or a share of them; a function of the step alone."""
        ...


@dataclass(frozen=True)
class Selection:
    """Keep the weights that did best on validation.

    Attributes:
        metric: By which; ties are broken by the loss.
        patience: Validations without a better one before training stops.
    """

    metric: str
    patience: int


@dataclass(frozen=True)
class Plan:
    """How a training goes.

    Attributes:
        steps: In all.
        warmup_steps: Of these, for the learning rate.
        optimiser: Rates and decay.
        seed: Of everything random.
        log_every: Steps between rows of the history.
        validate_every: Steps between validations.
        checkpoint_every: Steps between checkpoints.
        threads: Of the CPU.
        unit: What weights of batches count, for the progress.
        selection: See there; None: the last weights are kept.
    """

    steps: int
    warmup_steps: int
    optimiser: OptimiserRecipe
    seed: int
    log_every: int
    validate_every: int
    checkpoint_every: int
    threads: int
    unit: str = "patches"
    selection: Selection | None = None


@dataclass(frozen=True)
class Fitted:
    """What became of a training; the model itself holds the weights.

    Attributes:
        step: Steps done.
        history: Rows ``{"step", "phase", metric: value, ...}``, phase being ``training`` or ``validation``.
        figures: Metrics of the last validation, or of the best where there is a selection.
        skipped_steps: Steps left out because loss or gradient was not finite.
        resumed: Steps after which it went on from a checkpoint; no part of the result.
    """

    step: int
    history: tuple[Row, ...]
    figures: dict[str, float]
    skipped_steps: int
    resumed: tuple[int, ...] = field(compare=False)


@dataclass
class _Progress:
    """What the checkpoint keeps besides tensors."""

    step: int = 0
    history: list[Row] = field(default_factory=list)
    best: dict[str, float] | None = None
    best_step: int = 0
    stale: int = 0
    stopped: bool = False
    resumed: list[int] = field(default_factory=list)


def fit(
    objective: Objective[Batch],
    batches: Batches[Batch],
    validation: Sequence[Batch],
    plan: Plan,
    *,
    groups: list[dict[str, Any]],
    checkpoints: Checkpoints,
    identity: Mapping[str, Any],
    monitor: Monitor,
    start: Callable[[], None] | None = None,
    allow: bool = False,
) -> Fitted:
    """Train, from the newest checkpoint on if there is one.

    Args:
        objective: What for; its model is on its device and holds the initial weights.
        batches: Where micro-batches come from.
        validation: Held-out batches; may be empty.
        plan: How.
        groups: Parameter groups of `labram.training.optimiser`.
        checkpoints: Where they are kept.
        identity: All that the result depends on, as nested JSON values; a checkpoint of another identity is refused.
        monitor: Is told about progress, metrics and what the user should know.
        start: Called before the first step of a training that does not resume.
        allow: Go on from a checkpoint of another identity nevertheless, and say what changed.

    Raises:
        CheckpointError: If the newest checkpoint belongs to a training that was set up otherwise.
        TrainingError: If loss or gradient were not finite in three steps running.
        SystemExit: With code 143 after SIGTERM; a checkpoint was written.
    """
    keep_freed_memory()
    saved = Writer(checkpoints, lambda error: tell(monitor, f"training goes on without a checkpoint: {error}"))
    training = _Training(objective, batches, plan, groups, saved, identity, monitor)
    with devices.reproducible(training.device, plan.threads), noticed() as interruption, saved:
        training.begin(lambda: checkpoints.newest(identity, lambda text: tell(monitor, text), allow=allow), start)
        while not training.over:
            if training.step(interruption):
                training.report(validation)
            training.keep(interruption)
        return training.finish()


class _Training(Generic[Batch]):
    """A training under way; the parts of `fit`."""

    def __init__(
        self,
        objective: Objective[Batch],
        batches: Batches[Batch],
        plan: Plan,
        groups: list[dict[str, Any]],
        writer: Writer,
        identity: Mapping[str, Any],
        monitor: Monitor,
    ) -> None:
        self.objective, self.batches, self.plan, self.monitor = objective, batches, plan, monitor
        self.writer, self.identity = writer, identity
        self.ranks = Ranks.here()
        self.model: nn.Module = objective.model
        self.parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.device = self.parameters[0].device
        self.sharded = not replicated(self.parameters)
        self.optimiser = adamw(groups, plan.optimiser)
        self.running = Running(self.device)
        self.progress = _Progress()
        self.best_weights: Tensors = {}
        self._loss = math.nan
        self._clock, self._rate = time.monotonic(), math.nan

    @property
    def over(self) -> bool:
        return self.progress.stopped or self.progress.step >= self.plan.steps

    def begin(self, newest: Callable[[], Checkpoint | None], start: Callable[[], None] | None) -> None:
        """From the newest checkpoint, or from the start; all ranks from that of the first."""
        checkpoint = self._agreed(newest)
        if checkpoint is not None:
            self._restore(checkpoint)
            self.monitor.note(f"goes on after step {checkpoint.step} of {self.plan.steps}")
        else:
            if start is not None:
                torch.manual_seed(seeds.torch_seed(self.plan.seed))
                start()
            self.ranks.copy_first(replicated(self.model.state_dict().values()))
        self.model.train()
        self._clock = time.monotonic()

    def _agreed(self, newest: Callable[[], Checkpoint | None]) -> Checkpoint | None:
        """What the first rank finds. Its tensors go one by one: a message needs four times their size."""
        found = newest() if self.ranks.first else None
        outline = self.ranks.first_says(lambda: found and found.each(_outlines))
        checkpoint = found or (outline and outline.each(_blanks))
        for tensors in checkpoint.tensors.values() if checkpoint else ():
            self.ranks.copy_first(list(tensors.values()))
        return checkpoint

    def step(self, interruption: Interruption) -> bool:
        """One optimiser step. If loss or gradient are not finite, weights and buffers stay as they were.

        Returns:
            Whether it was done. A process that is alone leaves a step that it is interrupted in, as if it had not
            begun; several must first agree, and finish theirs.
        """
        plan, step, ranks = self.plan, self.progress.step, self.ranks
        batches = self.batches.batch(step, ranks.share)
        set_learning_rate(self.optimiser, self._learning_rate(step))
        buffers = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        total = ranks.total(sum(batch.weight for batch in batches))
        parts = []
        for index, batch in enumerate(batches):
            if interruption.requested and ranks.world == 1:
                for buffer, before in buffers:
                    buffer.copy_(before)
                return False
            seed = seeds.torch_seed(plan.seed, step, ranks.number(index))
            torch.manual_seed(seed)
            loss, metrics = self.objective.loss(batch, torch.Generator().manual_seed(seed))
            (loss * (batch.weight / total)).backward()
            parts.append((batch.weight / total, metrics))
        means = weighted_sum(parts)
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        ranks.add_up(replicated([*gradients, *means.values(), *self.objective.totals]))
        means["grad_norm"] = self._clip(gradients)
        finite = torch.isfinite(means["loss"]) & torch.isfinite(means["grad_norm"])
        self._apply(finite, buffers, batches)
        self.progress.step += 1
        self.running.add(means, finite, self.progress.step)
        self._observe(means["loss"], total)
        self._check_faults()
        return True

    def report(self, validation: Sequence[Batch]) -> None:
        """Log and validate where it is due."""
        done, plan = self.progress.step, self.plan
        if done in (1, plan.steps) or done % plan.log_every == 0:
            self._log()
        if validation and (done == plan.steps or done % plan.validate_every == 0):
            self._validate(validation)
        self.monitor.progress(done, plan.steps, loss=self._loss, **{f"{plan.unit}_per_s": self._rate})

    def keep(self, interruption: Interruption) -> None:
        """Write a checkpoint where it is due; leave if any rank was asked to."""
        due = self.progress.step % self.plan.checkpoint_every == 0 or self._validation_loss is not None
        asked = self.ranks.total(interruption.requested) > 0
        if due or self.over or asked:
            self._save()
        if asked and not self.over:
            self.writer.flush()
            self.ranks.wait()
            raise SystemExit(EXIT_CODE)

    def finish(self) -> Fitted:
        """Put the best weights in place and say how it went."""
        self.writer.flush()
        if self.best_weights:
            self._load(self.best_weights)
        self.model.eval()
        progress = self.progress
        history, resumed = tuple(progress.history), tuple(progress.resumed)
        return Fitted(progress.step, history, self._figures(), self.running.skipped, resumed)

    def _learning_rate(self, step: int) -> float:
        plan = self.plan
        peak, floor = plan.optimiser.peak_lr, plan.optimiser.min_lr
        return learning_rate(step, steps=plan.steps, warmup_steps=plan.warmup_steps, peak=peak, floor=floor)

    def _clip(self, gradients: list[Tensor]) -> Tensor:
        """Norm of the whole gradient, before it is clipped if the recipe wants that."""
        norm = whole(nn.utils.get_total_norm(gradients))
        if self.plan.optimiser.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(self.parameters, self.plan.optimiser.clip_norm, norm)
        return norm

    def _apply(self, finite: Tensor, buffers: Sequence[tuple[Tensor, Tensor]], batches: Sequence[Batch]) -> None:
        """Step where `finite`; decided on the device (fused AdamW leaves out a step flagged as found_inf)."""
        self.optimiser.found_inf = (~finite).float()  # type: ignore[attr-defined]
        self.optimiser.step()
        self.optimiser.zero_grad()
        torch.manual_seed(seeds.torch_seed(self.plan.seed, self.progress.step))
        self.objective.after(self.progress.step + 1, batches)
        for buffer, before in buffers:
            buffer.copy_(torch.where(finite, buffer, before))

    def _observe(self, loss: Tensor, weight: int) -> None:
        """Loss and speed for the progress; a GPU is not made to wait for them, see `_log`."""
        now = time.monotonic()
        rate = weight / max(now - self._clock, 1e-9)
        self._rate = rate if math.isnan(self._rate) else 0.9 * self._rate + 0.1 * rate
        self._clock = now
        if self.device.type == "cpu":
            self._loss = float(loss)

    def _check_faults(self) -> None:
        """A GPU is not asked in each step: when it is, the step that was one too many may lie back."""
        if self.device.type != "cpu" and self.progress.step % self.plan.log_every:
            return
        if (last := self.running.faults_until(FAULTS_TOLERATED + 1)) is not None:
            batches = self.batches.batch(last - 1, self.ranks.share)
            names = sorted(set(self.ranks.all_say([name for batch in batches for name in batch.recording_ids])))
            raise TrainingError(
                f"the loss was not finite {FAULTS_TOLERATED + 1} times running, until step {last}; the last windows "
                f"came from {', '.join(names)}",
                remedy="Lower optimiser.peak_lr or set optimiser.clip_norm, or look at these recordings",
            )

    def _log(self) -> None:
        means = self.running.take()
        if means is None:
            return
        figures = self.objective.summarise(means)
        self._loss = figures["loss"]
        figures["lr"] = self._learning_rate(self.progress.step - 1)
        figures["skipped_steps"] = float(self.running.skipped)
        self._record(TRAINING, figures)
        self.monitor.metrics(self.progress.step, {**figures, f"{self.plan.unit}_per_s": self._rate})

    def _validate(self, validation: Sequence[Batch]) -> None:
        mine = self._validated(validation) if self.ranks.first or self.sharded else {}
        figures = self.ranks.first_says(lambda: mine)
        self._record(VALIDATION, figures)
        self.monitor.metrics(self.progress.step, {f"{VALIDATION}/{name}": value for name, value in figures.items()})
        if self.plan.selection:
            self._select(figures, self.plan.selection)
        self._clock = time.monotonic()

    def _validated(self, validation: Sequence[Batch]) -> dict[str, float]:
        self.model.eval()
        with torch.no_grad():
            figures = self.objective.validate(validation)
        self.model.train()
        return figures

    def _select(self, figures: dict[str, float], selection: Selection) -> None:
        progress = self.progress
        if progress.best is None or _improves(selection.metric, figures, progress.best):
            progress.best, progress.best_step, progress.stale = figures, progress.step, 0
            self.best_weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        else:
            progress.stale += 1
            progress.stopped = progress.stale >= selection.patience

    def _record(self, phase: str, figures: Mapping[str, float]) -> None:
        """Add a row to the history; JSON has no NaN, so undefined values are left out."""
        defined = {name: value for name, value in sorted(figures.items()) if math.isfinite(value)}
        self.progress.history.append({"step": self.progress.step, "phase": phase, **defined})

    def _figures(self) -> dict[str, float]:
        if self.progress.best is not None:
            return {**self.progress.best, "best_step": float(self.progress.best_step)}
        for phase in (VALIDATION, TRAINING):
            for row in reversed(self.progress.history):
                if row["phase"] == phase:
                    return {name: value for name, value in row.items() if name not in ("step", "phase")}
        return {}

    def _save(self) -> None:
        """Have the first rank write a checkpoint. If it cannot, training goes on from memory and tries at the next."""
        if not self.ranks.first and not self.sharded:
            return
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        moments = {
            f"{names[id(parameter)]}/{key}": value
            for parameter, values in self.optimiser.state.items()
            for key, value in values.items()
        }
        tensors = {"weights": self.model.state_dict(), "optimiser": moments, "running": self.running.tensors()}
        if self.best_weights:
            tensors["best"] = self.best_weights
        state = {key: value for key, value in vars(self.progress).items() if key not in ("step", "history")}
        progress = self.progress
        loss = self._validation_loss
        self.writer.save(Checkpoint(progress.step, self.identity, tensors, state, progress.history, loss))
        self._clock = time.monotonic()

    @property
    def _validation_loss(self) -> float | None:
        """Of this very step; None if it was not validated."""
        last = self.progress.history[-1] if self.progress.history else {}
        validated = (last.get("step"), last.get("phase")) == (self.progress.step, VALIDATION)
        return last.get("loss") if validated else None

    def _restore(self, checkpoint: Checkpoint) -> None:
        try:
            self._load(checkpoint.tensors["weights"])
        except RuntimeError as error:  # torch's word for tensors of other names or shapes
            raise CheckpointError(
                f"the checkpoint of step {checkpoint.step} is of a model of another architecture",
                remedy="Restore the architecture, or begin anew in another folder of checkpoints",
            ) from error
        parameters = dict(self.model.named_parameters())
        for name, value in checkpoint.tensors["optimiser"].items():
            owner, _, key = name.rpartition("/")
            parameter = parameters[owner]
            self.optimiser.state[parameter][key] = share(value, parameter) if value.ndim else value.to(self.device)
        self.running.restore(checkpoint.tensors["running"])
        self.best_weights = checkpoint.tensors.get("best", {})
        self.progress = _Progress(checkpoint.step, list(checkpoint.history), **checkpoint.state)  # type: ignore[arg-type]
        if not self.over:
            self.progress.resumed.append(checkpoint.step)

    def _load(self, weights: Tensors) -> None:
        own = self.model.state_dict()
        self.model.load_state_dict({name: share(value, own.get(name, value)) for name, value in weights.items()})


def _outlines(tensors: Tensors) -> Tensors:
    """Names, shapes and types without values."""
    return {name: tensor.to("meta") for name, tensor in tensors.items()}


def _blanks(outlines: Tensors) -> Tensors:
    """Tensors in the host's memory whose values are yet to come."""
    return {name: torch.empty_like(outline, device="cpu") for name, outline in outlines.items()}


def tell(monitor: Monitor, text: str) -> None:
    """Tell the user something unexpected that does not stop the work."""
    monitor.note(text)
    warnings.warn(text, LabramWarning, stacklevel=2)


def _improves(metric: str, new: Mapping[str, float], best: Mapping[str, float]) -> bool:
    if new[metric] == best[metric] or (math.isnan(new[metric]) and math.isnan(best[metric])):
        return new["loss"] < best["loss"]
    return better(metric, new[metric], best[metric])
