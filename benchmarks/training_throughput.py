"""Throughput of a recipe's models on this machine, with utilisation: `labram bench throughput`.

Throughput is measured by `benchmarks.model_throughput` and related to the machine's peak. The parts of a step are those
of pre-training on noise, with a synchronisation after each. A result is a JSON file with date, hardware and commit.
"""

import platform
import re
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil
import torch
from pydantic import ValidationError

from benchmarks.loop_overhead import masked_objective, noise_corpus, sampler
from benchmarks.model_throughput import Load, Mode, Precision, Step, measure_models
from labram.errors import PlatformError
from labram.frozen_model import FrozenModel
from labram.input_spec import PATCH_SAMPLES
from labram.models.config import POSITIONS, BackboneConfig, TokenizerConfig
from labram.models.masked import random_mask
from labram.models.onednn_linear import matmul_transposed
from labram.recipe import ArchitectureRecipe, Recipe
from labram.training import device as devices
from labram.training.model_configs import backbone_config, tokenizer_config
from labram.training.objectives.objective import batch_to_device
from labram.training.optimiser import adamw, parameter_groups

FLOAT_BYTES = 4
PEAK_TFLOP_PER_S = {"B200": 2250.0, "H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "L4": 121.0}
"""Dense bfloat16 matmul with float32 accumulation, from the data sheets (H100: SXM module)."""
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
MATMUL_SIZE = {"cpu": 1024, "cuda": 8192}
MATMULS = 7


class Machine(FrozenModel):
    """The hardware and its peak throughput.

    Attributes:
        device: ``cpu`` or ``cuda``.
        name: Of the processor or the GPU.
        threads: Of the CPU.
        torch: PyTorch's version.
        product_tflop_per_s: Throughput of large matrix multiplications alone, by precision.
        peak_tflop_per_s: Peak in bfloat16 according to the data sheet; None if it is not listed here.
    """

    device: str
    name: str
    threads: int
    torch: str
    product_tflop_per_s: dict[str, float]
    peak_tflop_per_s: float | None = None


class Rate(FrozenModel):
    """Throughput of one use of a model.

    Attributes:
        step: Which use; a step is forward, backward and optimiser, for inference the forward pass alone.
        precision: ``fp32`` or ``bf16``.
        mode: ``eager`` or ``compiled``.
        patches_per_s: Median throughput.
        tokens_per_s: Tokens that pass through the trained transformer, CLS tokens and both masks' passes included.
        signal_gb_per_s: Float32 samples consumed.
        tflop_per_s: Operations of matrix multiplications and convolutions, see `operations`.
        utilisation: `tflop_per_s` divided by the data sheet's peak, or by `product_tflop_per_s` if that is unknown.
    """

    step: Step
    precision: Precision
    mode: Mode
    patches_per_s: float
    tokens_per_s: float
    signal_gb_per_s: float
    tflop_per_s: float
    utilisation: float


class Throughput(FrozenModel):
    """A result of a measurement on one device.

    Attributes:
        date: ISO 8601.
        commit: Git commit of the program; with ``+`` if there were uncommitted changes.
        machine: Hardware.
        recipe: Name of the measured recipe.
        architecture: Its architecture.
        windows: Windows of a batch, their channels and seconds.
        rates: Throughput of each use.
        parts: Seconds of each part of an eager pre-training step, with a synchronisation after each part.
        patches_a_step: Patches in that step.
        memory_gb: Peak GPU memory during those steps; None on a CPU.
        others: Share of the machine's processor time taken by other processes. Measure on an idle machine.
    """

    date: str
    commit: str
    machine: Machine
    recipe: str
    architecture: ArchitectureRecipe
    windows: tuple[int, int, int]
    rates: tuple[Rate, ...]
    parts: dict[str, float]
    patches_a_step: float
    memory_gb: float | None
    others: float

    @property
    def file(self) -> str:
        """File name: date, recipe, machine and threads."""
        machine = re.sub(r"[^a-z0-9]+", "-", self.machine.name.lower()).strip("-")
        return f"{self.date}-{self.recipe}-{machine}-{self.machine.threads}.json"

    def write(self, folder: Path) -> Path:
        """Write the result to a folder and return the file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.file
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> "Throughput":
        """Read a result.

        Raises:
            PlatformError: If the file is absent or not a result.
        """
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError) as error:
            raise PlatformError(
                "not a result of `labram bench throughput`",
                file=path,
                remedy="Measure again with `labram bench throughput`",
            ) from error


def measure(
    recipe: Recipe,
    *,
    commit: str,
    steps: tuple[Step, ...],
    precisions: tuple[Precision, ...],
    modes: tuple[Mode, ...],
    load: Load,
    repeats: int,
    on_rate: Callable[[Rate], None],
) -> Throughput:
    """Measure the models of a recipe on this machine.

    Args:
        recipe: Its sections `architecture` and `pretraining` are measured.
        commit: Git commit of the program.
        steps: Uses of the models.
        precisions: See `benchmarks.model_throughput`.
        modes: See `benchmarks.model_throughput`.
        load: Size of a batch, and the device.
        repeats: Timed runs of each use, and steps of pre-training.
        on_rate: Called with each rate as soon as it is measured.
    """
    tokenizer = tokenizer_config(recipe.architecture, recipe.tokenizer)
    backbone = backbone_config(recipe.architecture, recipe.architecture.codes)
    others = _Others()
    machine, rates = _machine(load.device, precisions), []
    for found in measure_models(
        steps=steps,
        precisions=precisions,
        modes=modes,
        load=load,
        tokenizer=tokenizer,
        backbone=backbone,
        repeats=repeats,
    ):
        if found.implementation == "labram":
            cost = operations(found.step, tokenizer, backbone, patches=load.channels * load.seconds)
            rates.append(_rate(found.step, found.precision, found.mode, found.patches_per_second, cost, load, machine))
            on_rate(rates[-1])
    parts, patches, memory = step_parts(recipe, repeats)
    return Throughput(
        date=datetime.now(UTC).date().isoformat(),
        commit=commit,
        machine=machine,
        recipe=recipe.name,
        architecture=recipe.architecture,
        windows=(load.batch, load.channels, load.seconds),
        rates=tuple(rates),
        parts=parts,
        patches_a_step=patches,
        memory_gb=memory,
        others=others.share(),
    )


def operations(step: Step, tokenizer: TokenizerConfig, backbone: BackboneConfig, *, patches: int) -> float:
    """Return the floating-point operations per patch of matrix multiplications and convolutions.

    A multiply-add counts as two operations. The backward pass takes twice the forward pass. Recomputation, norms,
    softmax and spectra do not count.

    Args:
        step: Use of the model; the masked step includes the tokenizer's encoding.
        tokenizer: Dimensions.
        backbone: Dimensions.
        patches: Patches in a window, on which the cost of attention depends.
    """
    width, codes = backbone.width, backbone.codes
    match step:
        case "tokenizer":
            inner, wide = tokenizer.code_width, tokenizer.width
            encoded = _embedded(wide) + tokenizer.depth * _block(wide, patches) + 2 * wide * (wide + inner)
            spectra = (
                tokenizer.decoder_depth * _block(wide, patches) + 2 * wide * inner + 4 * wide * (wide + PATCH_SAMPLES)
            )
            return 3 * (encoded + spectra) + 2 * inner * tokenizer.codes
        case "masked" | "masked-stored":
            twice = 2 * backbone.depth * _block(width, patches)
            predicted = 3 * (_embedded(width) + twice + 2 * width * codes)
            return predicted + (_encoding(tokenizer, patches) if step == "masked" else 0.0)
        case "finetune":
            return 3 * (_embedded(width) + backbone.depth * _block(width, patches))
        case "inference":
            return _embedded(width) + backbone.depth * _block(width, patches)


def _encoding(config: TokenizerConfig, patches: int) -> float:
    width, inner = config.width, config.code_width
    blocks = config.depth * _block(width, patches)
    return _embedded(width) + blocks + 2 * width * (width + inner) + 2 * inner * config.codes


def _embedded(width: int) -> float:
    """Return the operations of the three convolutions (15, 3 and 3 samples; 25 positions remain of a patch)."""
    channels = width // POSITIONS
    return 2 * POSITIONS * channels * (15 + 6 * channels)


def _block(width: int, patches: int) -> float:
    """Return the operations of a transformer block: twelve D x D matrices for each token, and attention."""
    tokens = patches + 1
    return tokens / patches * (24 * width**2 + 4 * tokens * width)


def _rate(
    step: Step, precision: Precision, mode: Mode, speed: float, cost: float, load: Load, machine: Machine
) -> Rate:
    patches = load.channels * load.seconds
    passes = 2 if step.startswith("masked") else 1
    reached = speed * cost / 1e12
    most = machine.peak_tflop_per_s if precision == "bf16" else None
    return Rate(
        step=step,
        precision=precision,
        mode=mode,
        patches_per_s=speed,
        tokens_per_s=speed * passes * (patches + 1) / patches,
        signal_gb_per_s=speed * PATCH_SAMPLES * FLOAT_BYTES / 1e9,
        tflop_per_s=reached,
        utilisation=reached / (most or machine.product_tflop_per_s[precision]),
    )


def step_parts(recipe: Recipe, steps: int) -> tuple[dict[str, float], float, float | None]:
    """Return the mean seconds of each part of a pre-training step, its patches, and peak GPU memory in GB.

    Args:
        recipe: Its sections `architecture` and `pretraining`.
        steps: Steps to time, after one warm-up step.
    """
    settings, device = recipe.pretraining, devices.select_device()
    with noise_corpus() as (_, store, corpus), devices.reproducible(device, settings.threads):
        batches, objective = sampler(corpus, store, settings, recipe.seed), masked_objective(recipe)
        model, random = objective.model, torch.Generator().manual_seed(recipe.seed)
        optimiser = adamw(parameter_groups(model, settings.optimiser.weight_decay), settings.optimiser)
        clock, patches = _Clock(device), 0
        for step in range(steps + 1):
            if step == 1:
                clock, patches = _Clock(device), 0
            micro_batches = batches.batch(step)
            clock.stop("loading")
            for batch in micro_batches:
                patches += batch.weight
                x_BNAT, rows_N = batch_to_device(model, batch)
                clock.stop("to the device")
                with devices.autocast(device):
                    codes_BL = objective.tokenizer.encode(x_BNAT, rows_N)
                    clock.stop("codes")
                    mask_BL = random_mask(len(codes_BL), codes_BL.shape[1], settings.mask_ratio, random).to(device)
                    loss = model.loss(x_BNAT, rows_N, mask_BL, codes_BL, symmetric=settings.symmetric).loss
                    clock.stop("forward")
                loss.backward()
                clock.stop("backward")
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.optimiser.clip_norm or torch.inf)
            optimiser.step()
            optimiser.zero_grad()
            clock.stop("optimiser")
    memory = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else None
    return {part: seconds / steps for part, seconds in clock.seconds.items()}, patches / steps, memory


class _Others:
    """Share of processor time that other processes take, from construction on."""

    def __init__(self) -> None:
        self._before = self._seconds()

    def share(self) -> float:
        """Return the share of the time of all processors."""
        every, idle, own = (now - then for now, then in zip(self._seconds(), self._before, strict=True))
        return max(0.0, (every - idle - own) / every)

    @staticmethod
    def _seconds() -> tuple[float, float, float]:
        machine, own = psutil.cpu_times(), psutil.Process().cpu_times()
        return sum(machine), machine.idle, own.user + own.system


class _Clock:
    """Stopwatch that accumulates the time of consecutive parts."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device, self._last = device, time.perf_counter()

    def stop(self, part: str) -> None:
        """Synchronise, and add the time since the last call to this part."""
        _wait(self._device)
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize()


def _machine(device: str, precisions: Sequence[Precision]) -> Machine:
    here = torch.device(device)
    name = torch.cuda.get_device_name() if here.type == "cuda" else _processor()
    known = (peak for part, peak in PEAK_TFLOP_PER_S.items() if re.search(rf"\b{part}\b", name))
    return Machine(
        device=here.type,
        name=name,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        product_tflop_per_s={precision: _matmul_tflop_per_s(here, precision) for precision in precisions},
        peak_tflop_per_s=next(known, None),
    )


def _processor() -> str:
    with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(names, platform.machine())


def _matmul_tflop_per_s(device: torch.device, precision: Precision) -> float:
    size = MATMUL_SIZE[device.type]
    left, right = (torch.randn(size, size, device=device).to(DTYPES[precision]) for _ in range(2))
    durations = []
    for _ in range(MATMULS):
        _wait(device)
        start = time.perf_counter()
        matmul_transposed(left, right)
        _wait(device)
        durations.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(durations[2:]) / 1e12
