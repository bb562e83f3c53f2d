"""Entries of `pretraining.probes`: labels that the representation is probed for while it is pre-trained."""

from typing import Literal, Self

from pydantic import Field, model_validator

from labram import metrics
from labram.frozen_model import FrozenModel
from labram.input_spec import MAX_SECONDS
from labram.metrics import Kind


class ValidationProbeRecipe(FrozenModel):
    """A probe at every validation of pre-training: fitted to training subjects, scored on validation subjects."""

    task: str = Field(description="Name of the dataset's labels.")
    dataset: str = Field(description="Dataset adapter with the labels.")
    kind: Kind = Field(description="Kind of the labels.")
    classes: tuple[str, ...] = Field(description="Class names, or names of the regression targets.")
    seconds: int = Field(default=4, ge=1, le=MAX_SECONDS, description="Duration of a window.")
    metric: str = Field(description="Metric of the curve, as of a task of this kind.")
    pooling: Literal["mean", "cls", "mean+std", "moments"] = Field(
        default="mean+std", description="Embedding of a window: poolings that do not depend on the montage."
    )
    most_windows: int = Field(default=1000, ge=10, description="Most windows of each split, evenly spaced.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.metric not in (names := metrics.of_kind(self.kind)):
            raise ValueError(f"metric of a {self.kind} probe must be one of {', '.join(names)}, not {self.metric}")
        return self
