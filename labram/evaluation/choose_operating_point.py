"""Choose a model's operating point on a folder of validation recordings, and report it on test recordings."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from labram.errors import RecipeError
from labram.evaluation.external_evaluation import score_folder
from labram.evaluation.operating_point import (
    Cases,
    OperatingPoint,
)
from labram.evaluation.predictions import Predictions
from labram.evaluation.record import Evaluation
from labram.events import Monitor
from labram.linear.features import band_powers
from labram.metrics import Array
from labram.recipe import AlignmentRecipe, DecisionUnit, OperatingPointRecipe, TaskRecipe
from labram.store.store import Store
from labram.training.data.labelled import LabelledWindows
from labram.training.task_metadata import TaskMetadata

DRAWS = 1000


class Chosen(NamedTuple):
    """The point, and the notes of the evaluations that it rests on, such as recordings that were used in training."""

    point: OperatingPoint
    notes: tuple[str, ...]


def choose_operating_point(
    model: Path,
    validation: Path,
    *,
    name: str,
    weights: str,
    store: Store,
    subject_key: bytes,
    recipe: OperatingPointRecipe,
    test: Path | None = None,
    subject: str = "",
    device: str | None = None,
    monitor: Monitor | None = None,
    test_uses: Path | None = None,
) -> Chosen:
    """Choose a threshold on validation recordings alone.

    Args:
        model: Folder of a binary task model.
        validation: Folder of labelled recordings, in the layout of the task's dataset.
        name: Name of the model.
        weights: Digest of its weights.
        store: Store for patches.
        subject_key: Pseudonymisation key of the workspace.
        recipe: Rule, what is decided on, and the share of the cases from which the model abstains.
        test: Folder of labelled recordings of other subjects, for a report without optimism.
        subject: Pattern of subjects, see `labram.corpus.scan.scan`.
        device: Device of the model.
        monitor: Receives progress.
        test_uses: Log of tests, see `labram.evaluation.external_evaluation.score_folder`.

    Raises:
        RecipeError: If the task is not binary.
        LabelError: If a class does not occur in the validation recordings.
    """
    task = TaskMetadata.read(model).recipe
    if task.kind != "binary":
        raise RecipeError(
            f"the task {task.name} is not binary: {task.kind}",
            field="model",
            remedy="An operating point needs a model of two classes; the others have probabilities or values",
        )

    def scored(folder: Path, uses: Path | None = None) -> tuple[Cases, Array, Evaluation]:
        return _scored(
            lambda observe: score_folder(
                model,
                folder,
                task.name,
                store=store,
                subject_key=subject_key,
                subject=subject,
                device=device,
                monitor=monitor,
                test_uses=uses,
                observe=observe,
            ),
            task,
            recipe.by,
        )

    cases, powers, evaluation = scored(validation)
    powers_of_windows = powers if recipe.by == "window" else None
    point = OperatingPoint.of(task, recipe, cases, model=name, weights=weights, powers=powers_of_windows, draws=DRAWS)
    notes = [f"validation: {note}" for note in evaluation.notes]
    if test is not None:
        test_cases, _, evaluation = scored(test, test_uses)
        point = point.tested(test_cases, draws=DRAWS)
        shared = len(set(test_cases.subjects) & set(cases.subjects))
        notes += [f"test: {note}" for note in evaluation.notes]
        notes += [f"test: {shared} subjects are also in the validation recordings."] if shared else []
    return Chosen(point, tuple(notes))


def _scored(
    score: Callable[[Callable[[LabelledWindows, Predictions], object]], Evaluation], task: TaskRecipe, by: DecisionUnit
) -> tuple[Cases, Array, Evaluation]:
    """Return cases and band powers of a folder, and its evaluation."""
    seen: list[tuple[Cases, Array]] = []

    def observe(windows: LabelledWindows, predictions: Predictions) -> None:
        powers = band_powers(windows.window_groups(AlignmentRecipe()))
        seen.append((Cases.of(predictions, seconds=task.seconds, by=by), powers))

    evaluation = score(observe)
    return (*seen[0], evaluation)
