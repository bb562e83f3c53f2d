"""How long published trainings would take on machines that were measured: `labram bench hours`.

A training is a number of steps of a number of patches, as its recipe says; a machine takes so many of them a second, in
the mode and precision of the training loop. What was not measured is not guessed.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from labram.errors import PlatformError
from labram.models.bench import Precision, Step
from labram.recipe import Recipe, TrainingRecipe
from labram.training.throughput import Rate, Throughput, operations
from labram.training.train_stages import backbone_config, tokenizer_config

SECONDS_AN_HOUR = 3600.0
BUSY = 0.05
PRECISION: dict[str, Precision] = {"cpu": "fp32", "cuda": "bf16"}
COLUMNS = ("recipe", "stage", "patches", "operations", "measured on", "patches/s", "device-hours")


@dataclass(frozen=True)
class Projection:
    """One stage of training on one device.

    Attributes:
        recipe: Name.
        stage: Section of the recipe.
        patches: That it trains on, over all steps.
        operations: In matrix products and convolutions, the same on every machine.
        machine: What was measured; None: nothing was.
        patches_per_s: What it takes.
        hours: Of one such device. Several need as many together, and what they lose by waiting for each other.
    """

    recipe: str
    stage: str
    patches: int
    operations: float
    machine: str | None = None
    patches_per_s: float = math.nan
    hours: float = math.nan

    @property
    def row(self) -> tuple[str, ...]:
        """What stands below `COLUMNS`."""
        plan = (self.recipe, self.stage, f"{self.patches:.2e}", f"{self.operations:.2e}")
        if self.machine is None:
            return (*plan, "not measured", "–", "–")
        return (*plan, self.machine, f"{self.patches_per_s:,.0f}", f"{self.hours:,.0f}")


def project(recipe: Recipe, results: Sequence[Throughput]) -> Iterator[Projection]:
    """The self-supervised stages of a recipe on each machine on which they were measured.

    Args:
        recipe: Its tokenizer is projected only if it is not that of another recipe.
        results: Measurements of this recipe.

    Raises:
        PlatformError: If models of other dimensions were measured.
    """
    for result in results:
        if result.architecture != recipe.architecture:
            raise PlatformError(
                f"models of other dimensions than those of the recipe {recipe.name!r} were measured",
                file=result.file,
                remedy="Measure the recipe as it is",
            )
    for stage, settings, step in _stages(recipe):
        plan = _plan(recipe, stage, settings, step)
        measured = [(result, rate) for result in results if (rate := _rate(result, step)) is not None]
        if not measured:
            yield plan
        for result, rate in measured:
            hours = plan.patches / rate.patches_per_s / SECONDS_AN_HOUR
            yield replace(plan, machine=_described(result), patches_per_s=rate.patches_per_s, hours=hours)


def table(projections: Iterable[Projection]) -> str:
    """All of them as Markdown."""
    rows = (COLUMNS, ("---",) * len(COLUMNS), *(projection.row for projection in projections))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _stages(recipe: Recipe) -> Iterator[tuple[str, TrainingRecipe, Step]]:
    if recipe.architecture.tokenizer is None:
        yield "tokenizer", recipe.tokenizer, "tokenizer"
    yield "pretraining", recipe.pretraining, "masked-stored" if recipe.pretraining.stored_codes else "masked"


def _plan(recipe: Recipe, stage: str, settings: TrainingRecipe, step: Step) -> Projection:
    patches = settings.steps * settings.micro_batches * settings.patches
    tokenizer = tokenizer_config(recipe.architecture, recipe.tokenizer)
    backbone = backbone_config(recipe.architecture, recipe.architecture.codes)
    cost = operations(step, tokenizer, backbone, patches=settings.window_patches)
    return Projection(recipe.name, stage, patches, patches * cost)


def _rate(result: Throughput, step: Step) -> Rate | None:
    """As the training loop computes: eager, in 16 bits on a GPU."""
    wanted = (step, PRECISION[result.machine.device], "eager")
    return next((rate for rate in result.rates if (rate.step, rate.precision, rate.mode) == wanted), None)


def _described(result: Throughput) -> str:
    """The machine, and whether it had other things to do."""
    machine = result.machine
    threads = f", threads: {machine.threads}" if machine.device == "cpu" else ""
    busy = f"; other processes took {result.others:.0%} of it" if result.others > BUSY else ""
    return f"{machine.name}{threads}{busy}"
