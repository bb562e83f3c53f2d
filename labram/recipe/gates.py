"""Section `gates` of a recipe."""

from typing import Literal

from pydantic import Field

from labram.frozen_model import FrozenModel
from labram.recipe.split import Positive


class GoldenRecording(FrozenModel):
    """A test recording whose answer is known; every champion must give it."""

    task: str = Field(description="Name of a task of the recipe.")
    sha256: str = Field(
        pattern=r"^[0-9a-f]{12,64}$", description="First digits of the SHA-256 of the recording's file (`sha256sum`)."
    )
    answer: str | float = Field(description="Name of a class; for a regression, the value.")
    min_probability: float = Field(
        default=0.5, gt=0.0, le=1.0, description="Smallest mean probability of that class over the recording's windows."
    )
    tolerance: float = Field(
        default=0.0, ge=0.0, description="Regression: largest distance of the mean prediction from the value."
    )


class GateRecipe(FrozenModel):
    """Conditions for promoting a model to champion."""

    margin: float = Field(
        default=0.02,
        ge=0.0,
        description="By how much the headline metric may be worse than the champion's, and than the baseline's.",
    )
    baseline: bool = Field(
        default=True,
        description="Reject a model that is worse than its baseline by more than the margin. false: it can be "
        "promoted, and table, report, model card and tags state that it is below its baseline.",
    )
    probes: bool = Field(
        default=True,
        description="Reject a backbone whose probes are not significantly better than random weights. false: it can "
        "be promoted, and report, model card and tags state it.",
    )
    floors: dict[str, float] = Field(
        default={},
        description="By task: value that the whole confidence interval of a champion's metric must exceed. "
        "Default of a task: the chance level.",
    )
    sensitivity: dict[str, float] = Field(
        default={},
        description="By task with an operating point: value that the whole confidence interval of its sensitivity must "
        "exceed.",
    )
    min_used_codes: Positive = Field(default=8, description="Smallest number of codes used on validation windows.")
    min_perplexity: float = Field(
        default=4.0, ge=1.0, description="Smallest codebook perplexity on validation windows."
    )
    allow_calibrated: bool = Field(
        default=False,
        description="Accept scores whose alignment used labels of the tested people (alignment.source: rest).",
    )
    allow_overlap: bool = Field(
        default=False, description="Accept test subjects or recordings that were used in pre-training."
    )
    max_subgroup_loss: float | None = Field(
        default=None,
        ge=0.0,
        description="By how much the headline metric of any dataset or montage may be worse than that of all windows. "
        "Not set: the worst group is only reported.",
    )
    max_calibration_error: float | None = Field(
        default=None, gt=0.0, le=1.0, description="Largest expected calibration error. Not set: it is only reported."
    )
    golden: tuple[GoldenRecording, ...] = Field(
        default=(), description="Test recordings whose answer is known; a model that gets one wrong is not promoted."
    )
    bootstrap: Positive = Field(default=2000, description="Bootstrap draws of subjects for confidence intervals.")
    approval: Literal["none", "required"] = Field(
        default="none",
        description="required: a model that passes its gates stays challenger until `labram models approve`.",
    )
    sign: bool = Field(
        default=False,
        description="Sign promoted models with the key in LABRAM_SIGNING_KEY, for serving that verifies signatures.",
    )
