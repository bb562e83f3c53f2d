"""Projected duration of the published trainings on measured machines: `labram bench hours`.

Duration is the recipe's steps times patches per step, divided by the measured throughput in the mode and precision of
the training loop. Stages without a measurement have no projection.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.model_throughput import Precision, Step
from benchmarks.training_throughput import Rate, Throughput, operations
from labram.errors import PlatformError
from labram.recipe import Recipe, TrainingRecipe
from labram.training.model_configs import backbone_config, tokenizer_config

SECONDS_AN_HOUR = 3600.0
BUSY = 0.05
PRECISION: dict[str, Precision] = {"cpu": "fp32", "cuda": "bf16"}
COLUMNS = ("recipe", "stage", "patches", "operations", "measured on", "patches/s", "device-hours")


@dataclass(frozen=True)
class Projection:
    """Projected duration of one training stage on one device.

    Attributes:
        recipe: Name.
        stage: Section of the recipe.
        patches: Patches over all steps.
        operations: Operations of matrix multiplications and convolutions, the same on every machine.
        machine: Measured machine; None if there is no measurement.
        patches_per_s: Its throughput.
        hours: Device-hours, without the cost of communication between devices.
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
        """Cells below `COLUMNS`."""
        plan = (self.recipe, self.stage, f"{self.patches:.2e}", f"{self.operations:.2e}")
        if self.machine is None:
            return (*plan, "not measured", "–", "–")
        return (*plan, self.machine, f"{self.patches_per_s:,.0f}", f"{self.hours:,.0f}")


def project(recipe: Recipe, results: Sequence[Throughput]) -> Iterator[Projection]:
    """Yield a projection of each self-supervised stage of a recipe for each measured machine.

    Args:
        recipe: Recipe; its tokenizer stage is skipped if it uses another recipe's tokenizer.
        results: Measurements of this recipe.

    Raises:
        PlatformError: If a result was measured with another architecture.
    """
    for result in results:
        if result.architecture != recipe.architecture:
            raise PlatformError(
                f"the result was measured with another architecture than that of the recipe {recipe.name!r}",
                file=result.file,
                remedy="Measure the recipe again without changes to its architecture",
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
    """Return a Markdown table of projections."""
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
    """Return the throughput in the training loop's mode: eager, bfloat16 on a GPU."""
    wanted = (step, PRECISION[result.machine.device], "eager")
    return next((rate for rate in result.rates if (rate.step, rate.precision, rate.mode) == wanted), None)


def _described(result: Throughput) -> str:
    """Return the machine's name, its threads, and the share of other processes if it was busy."""
    machine = result.machine
    threads = f", threads: {machine.threads}" if machine.device == "cpu" else ""
    busy = f"; other processes took {result.others:.0%} of it" if result.others > BUSY else ""
    return f"{machine.name}{threads}{busy}"
