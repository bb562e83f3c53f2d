"""Comparison of two registered versions or runs: settings, origin, and scores on the windows that both predicted."""

from ast import literal_eval
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from labram.errors import LabelError, RegistryError
from labram.evaluation import statistics
from labram.evaluation.predictions import Predictions
from labram.evaluation.statistics import Estimate
from labram.frozen_model import FrozenModel
from labram.recipe import MODEL_FILE, Recipe, TaskRecipe
from labram.registry import model_registry, predictions, provenance
from labram.registry.model_registry import PREFIX, ModelVersion
from labram.tracking.run_list import PipelineRun

BESIDE_THE_POINT = frozenset(
    {"name", "version", "uri", "aliases", "run_id", "created", "score", "baseline_score", "difference", "gate_detail"}
)
"""Keys of `labram.registry.provenance.flat` that say nothing about where a version came from."""

DRAWS = 2000
"""Bootstrap draws where a run does not state them."""


class Difference(NamedTuple):
    """A setting or tag that differs; "" where one side lacks it."""

    key: str
    a: str
    b: str


class Scores(FrozenModel):
    """Scores of two models on the windows that both predicted.

    Attributes:
        task: Name of the task.
        metric: Its headline metric.
        a: Score of the first model, with its 95 % interval over subjects.
        b: Score of the second one.
        advantage: Paired difference, signed so that above zero means that the second one is better.
        windows: Number of common windows.
        subjects: Number of their subjects.
        left_out: Windows that only one of them predicted.
    """

    task: str
    metric: str
    a: Estimate
    b: Estimate
    advantage: Estimate
    windows: int
    subjects: int
    left_out: int

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` about the second model, or ``no significant difference``."""
        if self.subjects < statistics.MIN_SUBJECTS or not self.advantage.excludes_zero():
            return "no significant difference"
        return "better" if (self.advantage.value or 0.0) > 0 else "worse"


class Comparison(FrozenModel):
    """Comparison of two versions or runs."""

    a: str
    b: str
    origin: tuple[Difference, ...]
    settings: tuple[Difference, ...]
    scores: tuple[Scores, ...]
    notes: tuple[str, ...] = ()


def compare_versions(a: ModelVersion, b: ModelVersion) -> Comparison:
    """Compare two registered versions.

    Raises:
        RegistryError: If their files cannot be downloaded.
        DamagedFileError: If their predictions were altered.
    """
    recipes = [_recipe(version) for version in (a, b)]
    task, other = (version.name.removeprefix(PREFIX) for version in (a, b))
    notes: tuple[str, ...] = ()
    scores: tuple[Scores, ...] = ()
    if task != other:
        notes = ("The versions are of different models: their scores are not compared.",)
    elif task in {entry.name for entry in recipes[0].tasks}:
        try:
            ours, theirs = (predictions.read(version.run_id, task) for version in (a, b))
            gates, seed = recipes[0].gates, recipes[0].seed
            scores = (paired(ours, theirs, recipes[0].task(task), bootstrap=gates.bootstrap, seed=seed),)
        except (RegistryError, LabelError) as error:
            notes = (str(error),)
    origin = differences(*({key: text for key, text in provenance.flat(version).items() if text} for version in (a, b)))
    return Comparison(
        a=a.uri,
        b=b.uri,
        origin=tuple(row for row in origin if row.key not in BESIDE_THE_POINT),
        settings=differences(*(recipe.flat() for recipe in recipes)),
        scores=scores,
        notes=notes,
    )


def compare_runs(a: PipelineRun, b: PipelineRun) -> Comparison:
    """Compare two pipeline runs: origin, settings, and the scores of the tasks that both evaluated.

    Raises:
        DamagedFileError: If their predictions were altered.
    """
    scores, notes = [], []
    for name, fields in _tasks(a).items():
        if name not in _tasks(b):
            continue
        try:
            ours, theirs = (predictions.read(run.run_id, name) for run in (a, b))
            task = TaskRecipe.model_validate(fields)
            draws, seed = int(a.params.get("gates.bootstrap", DRAWS)), int(a.params.get("seed", 0))
            scores.append(paired(ours, theirs, task, bootstrap=draws, seed=seed))
        except (RegistryError, LabelError) as error:
            notes.append(str(error))
    return Comparison(
        a=a.name,
        b=b.name,
        origin=differences(*({key: run.tags.get(key, "") for key in (*provenance.KEYS, "outcome")} for run in (a, b))),
        settings=differences(a.params, b.params),
        scores=tuple(scores),
        notes=tuple(notes),
    )


def _tasks(run: PipelineRun) -> dict[str, dict[str, object]]:
    """Return what decides a task's score, by name, from the flattened recipe."""
    found: dict[str, dict[str, object]] = {}
    for key, text in run.params.items():
        prefix, _, field = key.partition(".")
        name, _, field = field.partition(".")
        if prefix == "tasks" and field in {"name", "title", "dataset", "kind", "metric", "classes"}:
            found.setdefault(name, {})[field] = literal_eval(text) if field == "classes" else text
    return found


def paired(a: Predictions, b: Predictions, task: TaskRecipe, *, bootstrap: int, seed: int) -> Scores:
    """Compare two predictions on the windows that both have, by a paired bootstrap over subjects.

    Args:
        a: Predictions of the first model.
        b: Predictions of the second one.
        task: The task, which names the metric.
        bootstrap: Number of draws of subjects.
        seed: Seed of the draws.

    Raises:
        LabelError: If they have no window in common, or other labels for one.
    """
    rows_a, rows_b = _common(a, b)
    ours, theirs = a.rows(rows_a), b.rows(rows_b)
    if not len(rows_a):
        raise LabelError(
            "the models were tested on no common window",
            field=task.name,
            remedy="Evaluate both on the same recordings with `labram evaluate`",
        )
    if not np.array_equal(ours.y, theirs.y):
        raise LabelError(
            "the same windows have different labels",
            field=task.name,
            remedy="Evaluate both on today's labels with `labram evaluate`",
        )
    draws = statistics.bootstrap(ours.units, draws=bootstrap, seed=seed)
    scores = [statistics.scores(task.kind, ours.y, part.prediction, draws) for part in (ours, theirs)]
    estimates = [statistics.estimates(part, draws.n_subjects)[0][task.metric] for part in scores]
    return Scores(
        task=task.name,
        metric=task.metric,
        a=estimates[0],
        b=estimates[1],
        advantage=statistics.advantage(task.metric, scores[1][task.metric], scores[0][task.metric], draws.n_subjects),
        windows=len(rows_a),
        subjects=draws.n_subjects,
        left_out=len(a.y) + len(b.y) - 2 * len(rows_a),
    )


def differences(a: Mapping[str, str], b: Mapping[str, str]) -> tuple[Difference, ...]:
    """Return the keys whose values differ, in alphabetical order."""
    return tuple(
        Difference(key, a.get(key, ""), b.get(key, "")) for key in sorted({*a, *b}) if a.get(key, "") != b.get(key, "")
    )


def _common(a: Predictions, b: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Return the row numbers of the windows that both have, in the order of `a`."""
    tables = [
        pd.DataFrame({"recording": part.recording_id.astype(str), "ms": (part.start * 1000).round().astype(int)})
        for part in (a, b)
    ]
    both = tables[0].reset_index().merge(tables[1].reset_index(), on=["recording", "ms"], suffixes=("_a", "_b"))
    both = both.sort_values("index_a")
    return both["index_a"].to_numpy(), both["index_b"].to_numpy()


def _recipe(version: ModelVersion) -> Recipe:
    file = model_registry.local_folder(version.uri) / MODEL_FILE
    if not file.is_file():
        raise RegistryError(
            f"{version.uri} has no recipe", file=MODEL_FILE, remedy="Compare versions that this program registered"
        )
    return Recipe.from_json(file.read_text(encoding="utf-8"))
