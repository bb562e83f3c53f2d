"""How long published trainings would take on machines that were measured: `labram bench hours`.

A training is a number of steps of a number of patches, as its recipe says; a machine takes so many of them a second, in
the mode and precision of the training loop. What was not measured is not guessed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from labram.errors import PlatformError
from labram.models.bench import Precision, Step
from labram.recipe import Recipe, TrainingRecipe
from labram.training.stages import backbone_config, tokenizer_config
from labram.training.throughput import Throughput, operations

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
        operations: In matrix products and convolutions, as a measure that is the same everywhere.
        machine: What was measured.
        patches_per_s: What it takes.
        hours: Of one such device. Several need as many together, and what they lose by waiting for each other.
    """

    recipe: str
    stage: str
    patches: int
    operations: float
    machine: str
    patches_per_s: float
    hours: float

    @property
    def row(self) -> tuple[str, ...]:
        """What stands below `COLUMNS`."""
        return (
            self.recipe,
            self.stage,
            f"{self.patches:.2e}",
            f"{self.operations:.2e}",
            self.machine,
            f"{self.patches_per_s:,.0f}",
            f"{self.hours:,.0f}",
        )


def project(recipe: Recipe, result: Throughput) -> Iterator[Projection]:
    """The self-supervised stages of a recipe on a machine, as far as they were measured there.

    Raises:
        PlatformError: If models of other dimensions were measured.
    """
    if result.architecture != recipe.architecture:
        raise PlatformError(
            f"models of other dimensions than those of the recipe {recipe.name!r} were measured",
            file=result.file,
            remedy="Measure the recipe as it is",
        )
    precision = PRECISION[result.machine.device]
    rates = {rate.step: rate for rate in result.rates if (rate.mode, rate.precision) == ("eager", precision)}
    tokenizer = tokenizer_config(recipe.architecture, recipe.tokenizer)
    backbone = backbone_config(recipe.architecture, recipe.architecture.codes)
    for stage, settings, step in _stages(recipe):
        if step in rates:
            patches, speed = settings.steps * settings.micro_batches * settings.patches, rates[step].patches_per_s
            yield Projection(
                recipe=recipe.name,
                stage=stage,
                patches=patches,
                operations=patches * operations(step, tokenizer, backbone, patches=settings.window_patches),
                machine=_described(result),
                patches_per_s=speed,
                hours=patches / speed / SECONDS_AN_HOUR,
            )


def table(projections: Iterable[Projection]) -> str:
    """All of them as Markdown."""
    rows = (COLUMNS, ("---",) * len(COLUMNS), *(projection.row for projection in projections))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _described(result: Throughput) -> str:
    """The machine, and whether it had other things to do."""
    machine = result.machine
    threads = f", threads: {machine.threads}" if machine.device == "cpu" else ""
    busy = f"; other processes took {result.others:.0%} of it" if result.others > BUSY else ""
    return f"{machine.name}{threads}{busy}"


def _stages(recipe: Recipe) -> Iterator[tuple[str, TrainingRecipe, Step]]:
    yield "tokenizer", recipe.tokenizer, "tokenizer"
    yield "pretraining", recipe.pretraining, "masked-stored" if recipe.pretraining.stored_codes else "masked"
