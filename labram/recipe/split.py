"""The section `split` of a recipe: the protocol by which models are evaluated on subjects that they have not seen."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from labram.frozen_model import FrozenModel

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[int, Field(ge=1)]
Protocol = Literal["holdout", "kfold", "loso", "within-session", "cross-session"]
FEWEST_TEST_SUBJECTS = 6
"""Fewest subjects for which a difference may be called significant. With five, even a sign test on which all subjects
agree has p = 2 / 2**5 > 0.05, whatever the interval of the bootstrap."""


class SplitRecipe(FrozenModel):
    """How models are evaluated on subjects that they have not seen. Subjects are divided within each dataset."""

    kind: Protocol = Field(
        default="holdout",
        description="holdout: a share of the subjects is for tests. kfold: every subject is tested once, by a model "
        "that was fitted to the other folds; the registered model is then fitted to all subjects. loso: the same with "
        "one subject in each fold (MOABB: CrossSubjectEvaluation). within-session and cross-session: models of one "
        "person, tested on other parts of a session or on another session (MOABB's evaluations of these names).",
    )
    folds: int = Field(default=5, ge=2, description="kfold: number of folds; never more than the dataset has subjects.")
    repeats: Positive = Field(
        default=1, description="kfold: repetitions with other folds; every subject is tested once in each."
    )
    pretraining: Literal["others", "all"] = Field(
        default="others",
        description="All but holdout: what tokenizer and backbone are trained on. others: subjects of datasets without "
        "tasks, so that no fold has seen its test subjects. all: all subjects, without labels; every score is marked.",
    )
    few_subjects: Literal["reject", "allow"] = Field(
        default="reject",
        description=f"holdout: whether fewer than {FEWEST_TEST_SUBJECTS} test subjects are an error before training.",
    )
    validation: Fraction = Field(default=0.2, description="Fraction of subjects for model selection.")
    test: Fraction = Field(default=0.2, description="holdout: fraction of subjects for evaluation.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.repeats > 1 and self.kind != "kfold":
            raise ValueError(f"repeats: only for kind: kfold, not for {self.kind}, whose folds are always the same")
        return self

    @property
    def cross_validated(self) -> bool:
        """Whether every subject is tested, by models that were not fitted to the windows that they predict."""
        return self.kind != "holdout"
