"""Ablation studies: fine-tune the same tasks in several variants and compare them on the same test windows.

Scores vary with the test subjects and with the seed. The bootstrap draws both, with the same draws for all variants, so
that what all find equally hard cancels in their differences.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import ValidationError

from labram.errors import RecipeError
from labram.evaluation import statistics
from labram.evaluation.predictions import Predictions
from labram.evaluation.statistics import Estimate
from labram.frozen_model import FrozenModel
from labram.metrics import Array
from labram.recipe import Recipe, TaskRecipe, VariantRecipe, merge

FIXED_SETTINGS = frozenset({"name", "title", "dataset", "kind", "classes", "seconds", "metric"})
"""Settings of a task that all variants share: they define the task."""


class AblationRun(FrozenModel):
    """One fine-tuning run of a study.

    Attributes:
        variant: Variant of fine-tuning.
        task: The task with the variant's settings.
        seed: Seed of the head, the order of windows, drop path and the selection of subjects.
    """

    variant: VariantRecipe
    task: TaskRecipe
    seed: int

    @property
    def label(self) -> str:
        """Unique name within the study."""
        return f"{self.task.name} {self.variant.name} {self.seed}"


class Outcome(FrozenModel):
    """Result of one variant on one task.

    Attributes:
        score: Headline metric, mean over the seeds, with its interval over subjects and seeds.
        spread: Standard deviation over the seeds; None with one seed.
        baseline: Headline metric of the baseline on the same windows, fitted on the variant's training subjects.
        difference: Above zero if the variant is better than the reference; undefined for the reference itself.
        significant: Whether the interval of the difference excludes zero and there are enough subjects.
        subjects: Number of test subjects.
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
        """Whether it is the first variant, with which the others are compared."""
        return self.difference.value is None

    @property
    def verdict(self) -> Literal["better", "worse", "not significant"]:
        """Comparison with the reference."""
        if not self.significant:
            return "not significant"
        return "better" if (self.difference.low or 0.0) > 0 else "worse"


def ablation_runs(recipe: Recipe) -> list[AblationRun]:
    """Return all runs of the recipe's study, ordered by task, variant and seed.

    Raises:
        RecipeError: If there is no task or fewer than two variants, or a variant has an invalid setting, or fewer
            subjects in a cross-validation.
    """
    if not recipe.tasks or len(recipe.study.variants) < 2:
        raise RecipeError(
            f"a study needs a task and two variants, got {len(recipe.tasks)} and {len(recipe.study.variants)}",
            file=recipe.name,
            field="study.variants",
            remedy="Add them, as in the recipe demo-study",
        )
    fewer = [variant.name for variant in recipe.study.variants if variant.subjects < 1.0]
    if recipe.split.cross_validated and fewer:
        raise RecipeError(
            "a variant with fewer training subjects needs a hold-out split",
            file=recipe.name,
            field=f"study.variants.{fewer[0]}.subjects",
            remedy="Set split.kind: holdout, or remove the variant",
        )
    return [
        AblationRun(variant=variant, task=_varied(task, variant), seed=recipe.seed + number)
        for task in recipe.tasks
        for variant in recipe.study.variants
        for number in range(recipe.study.seeds)
    ]


def _varied(task: TaskRecipe, variant: VariantRecipe) -> TaskRecipe:
    """Return the task with a variant's settings, merged recursively. Another strategy starts from its own defaults."""
    if changed := sorted(FIXED_SETTINGS & set(variant.task)):
        problem, where = "a variant must not change it: it defines the task, which all variants share", changed[0]
    else:
        try:
            settings = task.model_dump(mode="json")
            if "strategy" in variant.task.get("adaptation", {}):
                settings["adaptation"] = {}
            return TaskRecipe.model_validate(merge(settings, variant.task))
        except ValidationError as error:
            first = error.errors()[0]
            problem, where = first["msg"], ".".join(map(str, first["loc"]))
    raise RecipeError(
        problem,
        field=f"study.variants.{variant.name}.task.{where}",
        remedy="Run `labram recipe keys` for the settings of a task",
    )


def compare(runs: Sequence[AblationRun], results: Sequence[Predictions], *, bootstrap: int, seed: int) -> list[Outcome]:
    """Compare the variants of each task with the first.

    Args:
        runs: Runs of a study, see `ablation_runs`.
        results: Predictions of each run on the test windows, the same windows for all runs of a task.
        bootstrap: Number of draws of subjects and seeds.
        seed: Seed of the draws.
    """
    by_variant: dict[tuple[str, str], list[int]] = {}
    for index, run in enumerate(runs):
        by_variant.setdefault((run.task.name, run.variant.name), []).append(index)
    outcomes = []
    references: dict[str, Array] = {}
    for (name, variant), members in by_variant.items():
        task, predictions = runs[members[0]].task, [results[index] for index in members]
        assert all(other.same_windows(predictions[0]) for other in predictions)
        draws = statistics.bootstrap(predictions[0].units, draws=bootstrap, seed=seed)
        scores_NR = np.stack(
            [statistics.scores(task.kind, run.y, run.prediction, draws)[task.metric] for run in predictions]
        )
        mean_R = (scores_NR * _seed_weights(len(scores_NR), scores_NR.shape[1], seed).T).sum(axis=0)
        reference = references.setdefault(name, mean_R)
        first = reference is mean_R
        difference = (
            Estimate(value=None) if first else statistics.advantage(task.metric, mean_R, reference, draws.n_subjects)
        )
        baseline = predictions[0].baseline
        assert baseline is not None
        outcomes.append(
            Outcome(
                task=name,
                metric=task.metric,
                variant=variant,
                score=statistics.estimate(mean_R, draws.n_subjects),
                spread=float(scores_NR[:, 0].std(ddof=1)) if len(predictions) > 1 else None,
                baseline=statistics.estimate(
                    statistics.scores(task.kind, predictions[0].y, baseline, draws)[task.metric], draws.n_subjects
                ),
                difference=difference,
                significant=draws.n_subjects >= statistics.MIN_SUBJECTS and difference.excludes_zero(),
                subjects=draws.n_subjects,
            )
        )
    return outcomes


def _seed_weights(seeds: int, rows: int, seed: int) -> Array:
    """Return weights of the seeds [R, N]: equal in the first row, which is the sample itself; drawn in the others."""
    equal = np.full(seeds, 1 / seeds)
    drawn = np.random.default_rng((seed, seeds)).multinomial(seeds, equal, size=rows - 1) / seeds
    return np.vstack([equal, drawn])
