"""The section `study` of a recipe: variants of fine-tuning that are compared."""

from typing import Any

from pydantic import Field

from labram.frozen_model import FrozenModel
from labram.recipe.split import Positive


class VariantRecipe(FrozenModel):
    """One variant of fine-tuning in a study."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Name in reports and runs.")
    pretrained: bool = Field(
        default=True, description="false: start from random weights, to measure the effect of pre-training."
    )
    subjects: float = Field(default=1.0, gt=0.0, le=1.0, description="Fraction of the training subjects to use.")
    task: dict[str, Any] = Field(
        default={},
        description="Settings of the task that the variant changes, such as layer_decay.",
    )


class StudyRecipe(FrozenModel):
    """Ablations that the `study` pipeline compares: every variant on every task with every seed."""

    seeds: Positive = Field(default=3, description="Ablation runs of each variant and task, with seeds from `seed` up.")
    variants: tuple[VariantRecipe, ...] = Field(
        default=(), description="Variants; the first is the reference for the others."
    )
