"""Throughput of each use of the models in patches per second: `labram bench model`."""

import itertools
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from labram.input_spec import PATCH_SAMPLES
from labram.memory import keep_freed_memory
from labram.models.braindecode_class import braindecode_class
from labram.models.braindecode_layout import constructor
from labram.models.compilation import compile_blocks
from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel, random_mask
from labram.models.tokenizer import Tokenizer
from labram.signals.electrodes import CANONICAL

Step = Literal["tokenizer", "masked", "masked-stored", "finetune", "inference"]
Precision = Literal["fp32", "bf16"]
Mode = Literal["eager", "compiled"]
Implementation = Literal["labram", "braindecode"]

STEPS: tuple[Step, ...] = ("tokenizer", "masked", "masked-stored", "finetune", "inference")
OUTPUTS = 6
DROP_PATH = 0.1


@dataclass(frozen=True)
class Load:
    """Size of a batch and the device; the default is the load of the published throughput."""

    batch: int = 16
    channels: int = 32
    seconds: int = 8
    device: str = "cpu"

    @property
    def patches(self) -> int:
        """Patches in a batch."""
        return self.batch * self.channels * self.seconds


@dataclass(frozen=True)
class Measurement:
    """Median throughput of a step: forward, backward and optimiser; for inference, the forward pass alone."""

    step: Step
    precision: Precision
    mode: Mode
    implementation: Implementation
    patches_per_second: float
    repeats: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def measure_models(
    *,
    steps: tuple[Step, ...] = STEPS,
    precisions: tuple[Precision, ...] = ("fp32", "bf16"),
    modes: tuple[Mode, ...] = ("eager", "compiled"),
    load: Load = Load(),
    tokenizer: TokenizerConfig | None = None,
    backbone: BackboneConfig | None = None,
    repeats: int = 5,
) -> Iterator[Measurement]:
    """Measure every combination, one after the other, LaBraM-Base unless configured otherwise.

    The masked step includes the tokenizer's encoding; `masked-stored` is the step with codes that `labram
    tokenize` has stored. Where braindecode is installed, its class is measured after ours in the steps that it has,
    with the same dimensions and the same input.
    """
    keep_freed_memory()
    configs = tokenizer or TokenizerConfig.base(), backbone or BackboneConfig.base()
    for step, precision, mode in itertools.product(steps, precisions, modes):
        for implementation in _implementations(step):
            run = prepare(step, mode, implementation, load, *configs)
            seconds = _time(run, precision, load.device, repeats)
            yield Measurement(step, precision, mode, implementation, load.patches / seconds, repeats)
            torch.compiler.reset()


def ratios(measurements: Iterable[Measurement]) -> dict[tuple[Step, Precision, Mode], float]:
    """How many times as fast as braindecode's class ours is, at equal step, precision and mode."""
    speeds = {(m.step, m.precision, m.mode, m.implementation): m.patches_per_second for m in measurements}
    return {
        (step, precision, mode): speeds[step, precision, mode, "labram"] / speed
        for (step, precision, mode, implementation), speed in speeds.items()
        if implementation == "braindecode" and (step, precision, mode, "labram") in speeds
    }


def _implementations(step: Step) -> tuple[Implementation, ...]:
    compared = step in ("finetune", "inference") and braindecode_class() is not None
    return ("labram", "braindecode") if compared else ("labram",)


def _time(
    run: Callable[[AbstractContextManager[Any]], object], precision: Precision, device: str, repeats: int
) -> float:
    """Return the median seconds of a run, after two that warm up (and compile)."""
    durations = []
    for _ in range(repeats + 2):
        around: AbstractContextManager[Any] = nullcontext()
        if precision == "bf16":
            around = torch.autocast(device, torch.bfloat16)
        start = time.perf_counter()
        run(around)
        if device != "cpu":
            torch.accelerator.synchronize()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations[2:])


def prepare(
    step: Step,
    mode: Mode,
    implementation: Implementation,
    load: Load,
    tokenizer_config: TokenizerConfig,
    config: BackboneConfig,
) -> Callable[[AbstractContextManager[Any]], object]:
    """Return a function that runs the step once, with its forward pass inside the given context."""
    torch.manual_seed(0)
    x = 0.3 * torch.randn(load.batch, load.channels, load.seconds, PATCH_SAMPLES, device=load.device)
    rows = torch.arange(1, load.channels + 1, device=load.device)
    ready = compile_blocks if mode == "compiled" else _as_it_is
    if step == "tokenizer":
        tokenizer = ready(_on(load, Tokenizer(tokenizer_config)))
        return training_step(tokenizer, lambda: tokenizer(x, rows).loss)
    if step in ("masked", "masked-stored"):
        masked, frozen = ready(_on(load, MaskedModel(config))), ready(_on(load, Tokenizer(tokenizer_config)).eval())
        length = load.channels * load.seconds
        generator = torch.Generator(load.device)
        stored = frozen.encode(x, rows) if step == "masked-stored" else None
        return training_step(
            masked,
            lambda: (
                masked.loss(
                    x,
                    rows,
                    random_mask(load.batch, length, 0.5, generator),
                    frozen.encode(x, rows) if stored is None else stored,
                ).loss
            ),
        )
    model, given = _downstream(implementation, config, load, x, rows)
    ready(model)
    if step == "finetune":
        labels = torch.arange(load.batch, device=load.device) % OUTPUTS
        return training_step(model, lambda: functional.cross_entropy(model(*given).float(), labels))
    model.eval()
    return lambda around: forward_only(around, lambda: model(*given))


def _downstream(
    implementation: Implementation, config: BackboneConfig, load: Load, x: Tensor, rows: Tensor
) -> tuple[nn.Module, tuple[Any, ...]]:
    """Return the downstream model of an implementation, and its arguments for the same windows."""
    ours = DownstreamModel(config, OUTPUTS, drop_path=DROP_PATH)
    if implementation == "labram":
        return _on(load, ours), (x, rows)
    theirs = braindecode_class()
    assert theirs is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the channels are not all 128
        model = theirs(**constructor(ours, seconds=load.seconds), drop_path_prob=DROP_PATH)
    names = list(CANONICAL[: load.channels])
    return _on(load, _Named(model, names)), (x.flatten(2),)


class _Named(nn.Module):
    """braindecode's model with the channels' names given, so that both are called with tensors alone."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x, ch_names=self.names)  # type: ignore[no-any-return]


def training_step(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[AbstractContextManager[Any]], object]:
    """Return a function that runs forward pass, backward pass and AdamW once."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def run(around: AbstractContextManager[Any]) -> None:
        with around:
            value = loss()
        value.backward()
        optimiser.step()
        optimiser.zero_grad()

    return run


def forward_only(around: AbstractContextManager[Any], forward: Callable[[], Tensor]) -> Tensor:
    """Run a forward pass without gradients."""
    with torch.no_grad(), around:
        return forward()


def _as_it_is(model: Any) -> Any:
    return model


def _on(load: Load, model: Any) -> Any:
    return model.to(load.device)
