"""Studies: the same tasks fine-tuned in several ways, and what the ways differ in on the same test windows.

Two things make a score a matter of luck: which subjects are tested, and the seed. Both are drawn with replacement, for
all variants alike, so that what they find equally hard drops out of their difference.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import ValidationError

from labram.errors import RecipeError
from labram.evaluation import statistics
from labram.evaluation.record import Predictions
from labram.evaluation.statistics import Estimate
from labram.frozen_model import FrozenModel
from labram.metrics import Array
from labram.recipe import Recipe, TaskRecipe, VariantRecipe, merged

QUESTION = frozenset({"name", "title", "dataset", "kind", "classes", "seconds", "metric"})
"""Settings of a task that say what is asked; variants answer the same question in other ways."""


class Trial(FrozenModel):
    """One fine-tuning of a study.

    Attributes:
        variant: How it is fine-tuned.
        task: The task, with the variant's settings.
        seed: For the head, the order of windows, drop path, and which subjects are left out.
    """

    variant: VariantRecipe
    task: TaskRecipe
    seed: int

    @property
    def label(self) -> str:
        """Tells the trials of a study apart."""
        return f"{self.task.name} {self.variant.name} {self.seed}"


class Outcome(FrozenModel):
    """One variant on one task.

    Attributes:
        score: Mean over the seeds of the headline metric, with its interval over subjects and seeds.
        spread: Standard deviation over the seeds; None with one seed.
        baseline: Of the baseline on the same windows, fitted on the subjects that the variant saw.
        difference: Above zero where the variant is better than the study's first; undefined for the first itself.
        significant: The interval of the difference excludes zero, and there are enough subjects to say so.
        subjects: Test subjects.
    """

    task: str
    metric: str
    variant: str
    score: Estimate
    spread: float | None
    baseline: Estimate
    difference: Estimate
    significant: bool
    subjects: int

    @property
    def is_reference(self) -> bool:
        """Whether the others of its task are compared with it."""
        return self.difference.value is None

    @property
    def verdict(self) -> Literal["better", "worse", "not told apart"]:
        """How the variant compares with the reference."""
        if not self.significant:
            return "not told apart"
        return "better" if (self.difference.low or 0.0) > 0 else "worse"


def trials(recipe: Recipe) -> list[Trial]:
    """Every fine-tuning of the recipe's study: by task, then variant, then seed.

    Raises:
        RecipeError: If there is nothing to compare, or a variant has a setting that does not fit.
    """
    if not recipe.tasks or len(recipe.study.variants) < 2:
        raise RecipeError(
            "there is nothing to compare: a study needs a task and two variants",
            file=recipe.name,
            field="study.variants",
            remedy="Start from the recipe demo-study",
        )
    return [
        Trial(variant=variant, task=_varied(task, variant), seed=recipe.seed + number)
        for task in recipe.tasks
        for variant in recipe.study.variants
        for number in range(recipe.study.seeds)
    ]


def _varied(task: TaskRecipe, variant: VariantRecipe) -> TaskRecipe:
    """The task with a variant's settings; what they do not name stays, in nested sections too."""
    if changed := sorted(QUESTION & set(variant.task)):
        problem, where = "it says what is asked, which all variants share", changed[0]
    else:
        try:
            return TaskRecipe.model_validate(merged(task.model_dump(mode="json"), variant.task))
        except ValidationError as error:
            first = error.errors()[0]
            problem, where = first["msg"], ".".join(map(str, first["loc"]))
    raise RecipeError(
        problem,
        field=f"study.variants.{variant.name}.task.{where}",
        remedy="See `labram recipe keys` for the settings of a task",
    )


def compare(study: Sequence[Trial], results: Sequence[Predictions], *, bootstrap: int, seed: int) -> list[Outcome]:
    """What the variants reach, and how they differ from the first.

    Args:
        study: As `trials` gives them.
        results: Predictions of each on the test windows, which are the same for all trials of a task.
        bootstrap: Resamplings of subjects and seeds.
        seed: Of the resampling.
    """
    by_variant: dict[tuple[str, str], list[int]] = {}
    for index, trial in enumerate(study):
        by_variant.setdefault((trial.task.name, trial.variant.name), []).append(index)
    outcomes = []
    references: dict[str, Array] = {}
    for (name, variant), members in by_variant.items():
        task, found = study[members[0]].task, [results[index] for index in members]
        assert all(one.same_windows(results[members[0]]) for one in found)
        draws = statistics.bootstrap(found[0].subject_key, draws=bootstrap, seed=seed)
        scores_NR = np.stack([statistics.scores(task.kind, one.y, one.prediction, draws)[task.metric] for one in found])
        mean_R = (scores_NR * _seed_weights(len(scores_NR), scores_NR.shape[1], seed).T).sum(axis=0)
        reference = references.setdefault(name, mean_R)
        first = reference is mean_R
        difference = Estimate(value=None) if first else statistics.advantage(task.metric, mean_R, reference)
        baseline = found[0].baseline
        assert baseline is not None
        outcomes.append(
            Outcome(
                task=name,
                metric=task.metric,
                variant=variant,
                score=_estimate(mean_R),
                spread=float(scores_NR[:, 0].std(ddof=1)) if len(found) > 1 else None,
                baseline=_estimate(statistics.scores(task.kind, found[0].y, baseline, draws)[task.metric]),
                difference=difference,
                significant=draws.n_subjects >= statistics.MIN_SUBJECTS and difference.excludes_zero(),
                subjects=draws.n_subjects,
            )
        )
    return outcomes


def _estimate(values_R: Array) -> Estimate:
    return statistics.estimates({"": values_R})[0][""]


def _seed_weights(seeds: int, rows: int, seed: int) -> Array:
    """Weights of the seeds [R, N]: equal in the first row, which is the sample itself, and drawn in the others."""
    equal = np.full(seeds, 1 / seeds)
    drawn = np.random.default_rng((seed, seeds)).multinomial(seeds, equal, size=rows - 1) / seeds
    return np.vstack([equal, drawn])
