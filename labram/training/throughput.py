"""What a machine makes of the models, kept so that it can be compared and projected: `labram bench throughput`.

The rates are those of `labram.models.bench`, put beside what the machine could do at most; the parts of a step are
those of pre-training on noise, each waited for. A result is a JSON file with date, hardware and commit.
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

from labram.errors import PlatformError
from labram.frozen_model import FrozenModel
from labram.models.bench import Load, Mode, Precision, Step, bench
from labram.models.config import POSITIONS, SAMPLES, BackboneConfig, TokenizerConfig
from labram.models.masked import random_mask
from labram.models.onednn_linear import product
from labram.recipe import ArchitectureRecipe, Recipe
from labram.training import device as devices
from labram.training.bench import masked_objective, noise_corpus, sampler
from labram.training.objectives import on_device
from labram.training.optimiser import adamw, parameter_groups
from labram.training.train_stages import backbone_config, tokenizer_config

FLOAT_BYTES = 4
PEAK_TFLOP_PER_S = {"B200": 2250.0, "H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "L4": 121.0}
"""Dense bfloat16 products with float32 sums, by the makers' data sheets (the H100's is that of the SXM module)."""
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
PRODUCT_SIZE = {"cpu": 1024, "cuda": 8192}
PRODUCTS = 7


class Machine(FrozenModel):
    """What was measured on.

    Attributes:
        device: ``cpu`` or ``cuda``.
        name: Of the processor or the GPU.
        threads: Of the CPU.
        torch: PyTorch's version.
        product_tflop_per_s: What large matrix products alone reach here, by precision.
        peak_tflop_per_s: In bfloat16 by the data sheet, where it is known.
    """

    device: str
    name: str
    threads: int
    torch: str
    product_tflop_per_s: dict[str, float]
    peak_tflop_per_s: float | None = None


class Rate(FrozenModel):
    """One use of a model.

    Attributes:
        step: Which use; a step is forward, backward and optimiser, for inference the forward pass alone.
        precision: ``fp32`` or ``bf16``.
        mode: ``eager`` or ``compiled``.
        patches_per_s: Median speed.
        tokens_per_s: That pass through the trained transformer, the CLS tokens and both masks' passes among them.
        signal_gb_per_s: Float32 samples that are used up.
        tflop_per_s: Operations of matrix products and convolutions, see `operations`.
        utilisation: The share of the data sheet's peak that these are, or of matrix products alone where there is none.
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
    """A result; times are of one device.

    Attributes:
        date: ISO 8601.
        commit: Of the program; with ``+`` if it had been changed.
        machine: Hardware.
        recipe: What was measured.
        architecture: Its models.
        windows: Windows of a batch, their channels and seconds.
        rates: All that was measured.
        parts: Seconds of each part of a pre-training step, as the training loop computes it (eager), one after the
            other; GPU and host wait for each other in between.
        patches_a_step: Of that step.
        memory_gb: Most that was in use on the GPU meanwhile; None on a CPU.
        others: The share of the machine's processors that other processes took meanwhile. Figures of a busy machine
            say little about it.
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
        """A name that tells results apart."""
        machine = re.sub(r"[^a-z0-9]+", "-", self.machine.name.lower()).strip("-")
        return f"{self.date}-{self.recipe}-{machine}-{self.machine.threads}.json"

    def write(self, folder: Path) -> Path:
        """Keep the result in a folder; gives the file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.file
        path.write_text(self.model_dump_json(indent=2) + "\n")
        return path

    @classmethod
    def read(cls, path: Path) -> "Throughput":
        """The result in a file.

        Raises:
            PlatformError: If it holds none.
        """
        try:
            return cls.from_json(path.read_text())
        except (OSError, ValidationError) as error:
            raise PlatformError(
                "this is no result of a measurement",
                file=path,
                remedy="Name a file that `labram bench throughput` wrote",
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
    tell: Callable[[Rate], None],
) -> Throughput:
    """Measure the models of a recipe on this machine.

    Args:
        recipe: Its sections `architecture` and `pretraining` are measured.
        commit: Of the program.
        steps: Uses of the models.
        precisions: See `labram.models.bench`.
        modes: See there.
        load: Windows of a batch, and the device.
        repeats: Timed runs of each use, and steps of pre-training.
        tell: Called with each rate as it is measured.
    """
    tokenizer = tokenizer_config(recipe.architecture, recipe.tokenizer)
    backbone = backbone_config(recipe.architecture, recipe.architecture.codes)
    others = _Others()
    machine, rates = _machine(load.device, precisions), []
    for found in bench(
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
            tell(rates[-1])
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
    """Floating-point operations a patch in matrix products and convolutions; a product and its addition are two.

    The backward pass takes twice those of the forward pass. What is formed again in it does not count, nor does what
    else there is: norms, softmax, spectra.

    Args:
        step: Which use; the masked step includes the tokenizer's encoding.
        tokenizer: Dimensions.
        backbone: Dimensions.
        patches: Of a window; attention takes the more the longer it is.
    """
    width, codes = backbone.width, backbone.codes
    match step:
        case "tokenizer":
            inner, wide = tokenizer.code_width, tokenizer.width
            encoded = _embedded(wide) + tokenizer.depth * _block(wide, patches) + 2 * wide * (wide + inner)
            spectra = tokenizer.decoder_depth * _block(wide, patches) + 2 * wide * inner + 4 * wide * (wide + SAMPLES)
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
    """Three convolutions of 15, 3 and 3 samples that leave 25 positions of a patch."""
    channels = width // POSITIONS
    return 2 * POSITIONS * channels * (15 + 6 * channels)


def _block(width: int, patches: int) -> float:
    """A transformer block: twelve square products for each token, and its products with all tokens of the window."""
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
        signal_gb_per_s=speed * SAMPLES * FLOAT_BYTES / 1e9,
        tflop_per_s=reached,
        utilisation=reached / (most or machine.product_tflop_per_s[precision]),
    )


def step_parts(recipe: Recipe, steps: int) -> tuple[dict[str, float], float, float | None]:
    """Mean seconds of each part of a step of pre-training; patches of a step; gigabytes of the GPU.

    Args:
        recipe: Its sections `architecture` and `pretraining`.
        steps: How many, after one that warms up.
    """
    settings, device = recipe.pretraining, devices.choose()
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
                x_BNAT, rows_N = on_device(model, batch)
                clock.stop("to the device")
                with devices.mixed_precision(device):
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
    """How much of the processors' time other processes take from now on."""

    def __init__(self) -> None:
        self._before = self._seconds()

    def share(self) -> float:
        """Of all time of all processors."""
        every, idle, own = (now - then for now, then in zip(self._seconds(), self._before, strict=True))
        return max(0.0, (every - idle - own) / every)

    @staticmethod
    def _seconds() -> tuple[float, float, float]:
        machine, own = psutil.cpu_times(), psutil.Process().cpu_times()
        return sum(machine), machine.idle, own.user + own.system


class _Clock:
    """Adds up the time of parts that follow one another."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device, self._last = device, time.perf_counter()

    def stop(self, part: str) -> None:
        """What has passed since the last call belongs to this part, once the device is done with it."""
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
        product_tflop_per_s={precision: _product_tflop_per_s(here, precision) for precision in precisions},
        peak_tflop_per_s=next(known, None),
    )


def _processor() -> str:
    with Path("/proc/cpuinfo").open() as lines:
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(names, platform.machine())


def _product_tflop_per_s(device: torch.device, precision: Precision) -> float:
    size = PRODUCT_SIZE[device.type]
    left, right = (torch.randn(size, size, device=device).to(DTYPES[precision]) for _ in range(2))
    durations = []
    for _ in range(PRODUCTS):
        _wait(device)
        start = time.perf_counter()
        product(left, right)
        _wait(device)
        durations.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(durations[2:]) / 1e12
