"""The section `tasks.NAME.adaptation` of a recipe: how a pre-trained backbone is adapted to a task."""

from typing import Literal, Self

from pydantic import Field, model_validator

from labram.frozen_model import FrozenModel

Strategy = Literal["full", "two-stage", "lora", "probe"]
Head = Literal["mean", "channels", "attention", "covariance"]
WindowPooling = Literal["mean", "cls", "channels", "mean+std", "moments", "tokens"]
LEAST_WINDOWS = 4
"""Windows of a subject that standardisation within subjects needs."""


_ONLY_FOR: dict[tuple[Strategy, ...], tuple[str, ...]] = {
    ("probe",): ("pooling", "within_subject", "stack"),
    ("full", "two-stage", "lora"): ("head",),
    ("two-stage",): ("encoder_rate",),
    ("lora",): ("rank",),
}
"""Settings that only some strategies have."""


class AdaptationRecipe(FrozenModel):
    """How a pre-trained backbone is adapted to a task."""

    strategy: Strategy = Field(
        default="full",
        description="full: fine-tune all weights (paper, section 3.2). two-stage: fit the head in closed form, then "
        "fine-tune all weights, the encoder's at a smaller rate; the head alone is kept if that is better. lora: keep "
        "the encoder, and train low-rank updates of its linear layers, which are merged at the end. probe: keep the "
        "backbone and fit a linear model of its embeddings in closed form, on the training and validation subjects; "
        "seconds on a CPU.",
    )
    head: Head = Field(
        default="mean",
        description="All but probe: what the linear head reads. mean: the mean patch (paper). channels: the mean over "
        "seconds of each electrode. attention: a mean over patches with learned weights. covariance: the mean patch, "
        "and the matrix logarithm of the covariance of 16 learned projections over the patches.",
    )
    encoder_rate: float = Field(
        default=0.1,
        gt=0.0,
        le=1.0,
        description="two-stage: the encoder's learning rate relative to the head's, beside layer_decay.",
    )
    rank: int = Field(default=8, ge=1, description="lora: rank of the updates, less than the width.")
    pooling: WindowPooling = Field(
        default="mean",
        description="Embedding of a window for a probe: the mean over its patches, the cls token, the mean over "
        "seconds of each channel, mean and SD over its patches, its moments (mean, SD over channels, SD over seconds), "
        "or all patch tokens.",
    )
    within_subject: bool = Field(
        default=False,
        description="Standardise the embeddings within each subject without labels. Predictions then need all windows "
        f"of a subject together, at least {LEAST_WINDOWS}.",
    )
    stack: bool = Field(
        default=False,
        description="Add the outputs of the spectral model, with weights that are fitted on subjects that neither "
        "model has seen. Reports state LaBraM's share.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for strategies, names in _ONLY_FOR.items():
            changed = [name for name in names if getattr(self, name) != type(self).model_fields[name].default]
            if self.strategy not in strategies and changed:
                only = " or ".join(strategies)
                raise ValueError(f"{', '.join(changed)}: only for strategy: {only}, not for {self.strategy}")
        return self
