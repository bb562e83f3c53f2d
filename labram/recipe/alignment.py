"""Key `alignment` of a task."""

from typing import Literal, Self

from pydantic import AliasChoices, Field, model_validator

from labram.frozen_model import FrozenModel
from labram.recipe.split import Fraction, Positive

REST = "rest"
"""Class of the windows that an alignment with ``source: rest`` is computed from."""


class AlignmentRecipe(FrozenModel):
    """Alignment of subjects without labels: a linear map of the channels, by subject and montage."""

    kind: Literal["none", "euclidean", "zscore"] = Field(
        default="none",
        description="Computed from windows of the subject, in training and in use. euclidean: whitening by their "
        "mean covariance (He & Wu 2020), scaled to 10 µV; zscore: each channel scaled to an SD of 10 µV.",
    )
    source: Literal["all", "unlabelled", "rest"] = Field(
        default="all",
        validation_alias=AliasChoices("source", "from"),
        description="What it is computed from; `from` means the same. all: the windows of the task, without their "
        "labels; unlabelled: signal of the subject without a label of the task; rest: the first `seconds` of the "
        "class *rest*. These are known by their labels and not scored, and the score is marked as calibrated.",
    )
    seconds: Positive | None = Field(
        default=None,
        description="Seconds of each subject that it is computed from, the first ones; null: all. `rest` needs it, "
        "and requests to such a model must begin with as many seconds of rest.",
    )
    shrinkage: Fraction = Field(
        default=0.01,
        description="Euclidean alignment: weight of a multiple of the identity in the covariance, for montages "
        "without full rank.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind == "none" and (self.source != "all" or self.seconds is not None):
            raise ValueError("source and seconds: only for kind: euclidean or zscore, not for none")
        if self.source == "rest" and self.seconds is None:
            raise ValueError("source: rest needs seconds, such as 60: rest that is used for alignment is not scored")
        return self
