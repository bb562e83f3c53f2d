"""Overhead of the training loop over the bare step, and speed of data loading: `labram bench step|data`.

Signals are noise in a temporary store: three montages, read at random positions as in training. Everything else is
real: pre-training by `labram.training.loop.fit`, with its log and its checkpoints.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from labram.atomic import TEMPORARY_FILES
from labram.corpus.catalogue import Corpus
from labram.events import NullMonitor
from labram.input_spec import SAMPLE_RATE_HZ
from labram.models.masked import MaskedModel
from labram.models.tokenizer import Tokenizer
from labram.recipe import PretrainingRecipe, Recipe, TokenizerRecipe
from labram.signals.electrodes import CANONICAL
from labram.store.store import Store, to_patches
from labram.training import device as devices
from labram.training.checkpoints import Checkpoints
from labram.training.data import seeds
from labram.training.data.windows import WindowBatch, WindowSampler
from labram.training.loop import fit
from labram.training.model_configs import backbone_config, tokenizer_config
from labram.training.objectives.masked_objective import MaskedObjective
from labram.training.optimiser import adamw, parameter_groups
from labram.training.plan import TrainingPlan, pretraining_plan

CHANNELS = (8, 19, 62)
RECORDING_SECONDS = 600
LOAD_SECONDS = 5.0
GOAL_OVERHEAD, GOAL_LOADING = 0.05, 20.0


@dataclass(frozen=True)
class Overhead:
    """Mean seconds of a step in the loop and bare, without the first step; overhead relative to the bare step."""

    steps: int
    patches_per_step: float
    loop_seconds: float
    bare_seconds: float
    checkpoints: int
    overhead: float
    goal: float = GOAL_OVERHEAD


@dataclass(frozen=True)
class Loading:
    """Patches per second that one process loads and that the step consumes, and their ratio."""

    loaded_patches_per_s: float
    loaded_megabytes_per_s: float
    step_patches_per_s: float
    ratio: float
    goal: float = GOAL_LOADING


def loop_overhead(recipe: Recipe, steps: int) -> Overhead:
    """Train for some steps; after each, run the same step bare with a second model, under the same conditions.

    The loop's step loads its windows, logs, and writes checkpoints; the bare step has its windows in memory. A bare
    step during which the loop still writes a checkpoint is repeated.

    Args:
        recipe: Its sections `architecture` and `pretraining` are measured.
        steps: Steps to time; more than `checkpoint_every` of the recipe.
    """
    settings = recipe.pretraining
    with noise_corpus() as (folder, store, corpus):
        batches = sampler(corpus, store, settings, recipe.seed)
        objective, bare = masked_objective(recipe), _Bare(recipe)
        monitor = _Alternates(bare, batches, folder / "checkpoints")
        fit(
            objective,
            batches,
            [],
            _plan(settings, recipe.seed, steps),
            groups=parameter_groups(objective.model, settings.optimiser.weight_decay),
            checkpoints=Checkpoints(folder / "checkpoints"),
            identity={},
            monitor=monitor,
        )
    loop, alone = statistics.fmean(monitor.loop[1:]), statistics.fmean(monitor.bare[1:])
    return Overhead(
        steps=steps,
        patches_per_step=statistics.fmean(monitor.patches),
        loop_seconds=loop,
        bare_seconds=alone,
        checkpoints=-(-steps // settings.checkpoint_every),
        overhead=loop / alone - 1.0,
    )


def loading(recipe: Recipe, steps: int) -> Loading:
    """Measure how fast one process loads windows and how fast the bare step consumes them.

    Args:
        recipe: Its sections `architecture` and `pretraining` are measured.
        steps: Steps of each; loading lasts at least five seconds.
    """
    with (
        noise_corpus() as (_, store, corpus),
        devices.reproducible(devices.select_device(), recipe.pretraining.threads),
    ):
        batches, bare = sampler(corpus, store, recipe.pretraining, recipe.seed), _Bare(recipe)
        samples = [batches.batch(step) for step in range(steps)]
        taken = statistics.median(bare.seconds(step, sample) for step, sample in enumerate(samples))
        patches = statistics.fmean(sum(batch.weight for batch in sample) for sample in samples)
        loaded, number, start = 0, 0, time.perf_counter()
        while number < steps or time.perf_counter() - start < LOAD_SECONDS:
            loaded += sum(batch.weight for batch in batches.batch(number))
            number += 1
        rate = loaded / (time.perf_counter() - start)
    stored = np.dtype(np.float16).itemsize * SAMPLE_RATE_HZ
    return Loading(rate, rate * stored / 1e6, patches / taken, rate * taken / patches)


def sampler(corpus: Corpus, store: Store, settings: PretrainingRecipe, seed: int) -> WindowSampler:
    """Return the sampler of pre-training."""
    return WindowSampler.of(
        corpus,
        store,
        split="train",
        seed=seed,
        patches=settings.patches,
        micro_batches=settings.micro_batches,
        window_patches=settings.window_patches,
        window_seconds=settings.window_seconds,
        temperature=settings.temperature,
    )


class _Bare:
    """The step without the loop: forward, backward, optimiser."""

    def __init__(self, recipe: Recipe) -> None:
        self._objective = masked_objective(recipe)
        optimiser = recipe.pretraining.optimiser
        self._optimiser = adamw(parameter_groups(self._objective.model, optimiser.weight_decay), optimiser)
        self._seed, self._clip = recipe.seed, optimiser.clip_norm

    def seconds(self, step: int, batches: Sequence[WindowBatch]) -> float:
        """Run the step and return its duration."""
        start = time.perf_counter()
        total = sum(batch.weight for batch in batches)
        for micro, batch in enumerate(batches):
            random = torch.Generator().manual_seed(seeds.torch_seed(self._seed, step, micro))
            loss, _ = self._objective.loss(batch, random)
            (loss * (batch.weight / total)).backward()
        if self._clip is not None:
            torch.nn.utils.clip_grad_norm_(self._objective.model.parameters(), self._clip)
        self._optimiser.step()
        self._optimiser.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - start


class _Alternates(NullMonitor):
    """Monitor that runs the bare step after each step of the loop."""

    def __init__(self, bare: _Bare, batches: WindowSampler, folder: Path) -> None:
        self._bare, self._batches, self._folder = bare, batches, folder
        self.loop: list[float] = []
        self.bare: list[float] = []
        self.patches: list[int] = []
        self._resumed = time.perf_counter()

    def progress(self, done: int, total: int, **metrics: float) -> None:
        """Time the loop's step, then run the bare one."""
        del total, metrics
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.loop.append(time.perf_counter() - self._resumed)
        batches = self._batches.batch(done - 1)
        self.patches.append(sum(batch.weight for batch in batches))
        seconds, writing = 0.0, True
        while writing:
            writing = any(self._folder.glob(TEMPORARY_FILES))
            seconds = self._bare.seconds(done - 1, batches)
        self.bare.append(seconds)
        self._resumed = time.perf_counter()


def masked_objective(recipe: Recipe) -> MaskedObjective:
    """Return the objective of pre-training with a new masked model and tokenizer, on the training device."""
    teacher = devices.prepare_model(Tokenizer(tokenizer_config(recipe.architecture, TokenizerRecipe(steps=1))))
    model = devices.prepare_model(MaskedModel(backbone_config(recipe.architecture, recipe.architecture.codes)))
    settings = recipe.pretraining
    return MaskedObjective(model.train(), teacher, mask_ratio=settings.mask_ratio, symmetric=settings.symmetric)


def _plan(settings: PretrainingRecipe, seed: int, steps: int) -> TrainingPlan:
    return pretraining_plan(settings.model_copy(update={"steps": steps, "warmup_steps": 1}), seed)


@contextmanager
def noise_corpus() -> Iterator[tuple[Path, Store, Corpus]]:
    """Yield a temporary folder, a store with one recording per montage, and their corpus."""
    with tempfile.TemporaryDirectory(prefix="labram-bench-") as name:
        folder = Path(name)
        store, rows = Store(folder / "store"), []
        for channels in CHANNELS:
            noise = np.random.default_rng(channels).normal(
                scale=30.0, size=(channels, RECORDING_SECONDS * SAMPLE_RATE_HZ)
            )
            key, montage = Store.key(str(channels)), CANONICAL[:channels]
            store.write(key, to_patches(noise.astype(np.float32)), montage)
            rows.append(
                {
                    "recording_id": key,
                    "dataset": "noise",
                    "subject_key": key,
                    "content_hash": key,
                    "montage": list(montage),
                    "seconds": RECORDING_SECONDS,
                    "store_key": key,
                    "verdict": "accepted",
                    "split": "train",
                }
            )
        yield folder, store, Corpus.of(rows, [])
