"""Key `operating_point` of a task."""

from typing import Literal, Self

from pydantic import Field, model_validator

from labram.frozen_model import FrozenModel

Rule = Literal["youden", "sensitivity", "specificity", "false_alarms_per_hour"]
DecisionUnit = Literal["window", "recording"]


class OperatingPointRecipe(FrozenModel):
    """Threshold of a binary task's decisions, chosen on subjects that are not tested."""

    rule: Rule = Field(
        default="youden",
        description="youden: maximise sensitivity + specificity. Others: keep `at`, with the best of the rest.",
    )
    at: float | None = Field(
        default=None, ge=0.0, description="Least sensitivity or specificity, or most false alarms per hour."
    )
    by: DecisionUnit = Field(
        default="recording", description="Decide on windows, or on recordings by the mean of their windows."
    )
    abstain: float = Field(
        default=0.0, ge=0.0, le=0.9, description="Share of the least confident cases that are not decided."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.rule == "youden":
            if self.at is not None:
                raise ValueError("at: the rule youden keeps no value")
        elif self.at is None:
            raise ValueError(f"at: the rule {self.rule} needs a value to keep")
        elif self.rule != "false_alarms_per_hour" and self.at > 1:
            raise ValueError(f"at: a {self.rule} is from 0 to 1, not {self.at}")
        return self

    def describe(self) -> str:
        """Return the rule in words."""
        if self.rule == "youden":
            return "the highest sum of sensitivity and specificity"
        kept = self.rule.replace("_", " ")
        return f"{'at most' if self.rule == 'false_alarms_per_hour' else 'at least'} {self.at:g} {kept}"
