"""Operating point of a task's model in a run, chosen on subjects that are not tested.

Under a hold-out split these are the validation subjects; for a probe, which is fitted to them too, its out-of-fold
predictions of the subjects that it is fitted to. In a cross-validation the decisions of each fold are made with a
threshold that the predictions of the other folds choose, and the registered threshold is chosen on all of them.

Letters: n windows or recordings.
"""

from pathlib import Path

import numpy as np

from labram import checksums
from labram.corpus.catalogue import Corpus
from labram.errors import LabelError
from labram.evaluation.operating_point import (
    Cases,
    OperatingPoint,
    choose_threshold,
)
from labram.evaluation.predictions import Predictions
from labram.evaluation.scoring import predict
from labram.inference.predictor import Predictor
from labram.input_spec import SAMPLE_RATE_HZ
from labram.linear.features import band_powers
from labram.metrics import Array
from labram.recipe import AlignmentRecipe, OperatingPointRecipe, TaskRecipe
from labram.store.store import Store
from labram.training.data.labelled import LabelledWindows, fitting_windows
from labram.training.probe_stage import OUT_OF_FOLD


def task_operating_point(
    corpus: Corpus,
    store: Store,
    model: Path,
    task: TaskRecipe,
    tested: Predictions,
    *,
    name: str,
    weights: str,
    draws: int,
    seed: int,
) -> OperatingPoint:
    """Return the operating point of a model, with what it reaches on the tested subjects.

    Args:
        corpus: Judged corpus.
        store: Its patches.
        model: Folder of the task's model.
        task: Binary task with `operating_point`.
        tested: Predictions of the tested subjects.
        name: Name of the model.
        weights: Digest of its weights.
        draws: Number of bootstrap draws of subjects.
        seed: Seed of the draws.

    Raises:
        LabelError: If the subjects of the choice have one class only.
    """
    recipe = task.operating_point
    assert recipe is not None, "a task with decisions"
    folds = tested.fold is not None
    test = Cases.of(_first_repetition(tested), seconds=task.seconds, by=recipe.by)
    powers = _powers(corpus, store, task) if recipe.by == "window" else None
    try:
        held_out = tested if folds else _held_out(corpus, store, model, task)
        cases = Cases.of(_first_repetition(held_out), seconds=task.seconds, by=recipe.by)
        point = OperatingPoint.of(
            task, recipe, cases, model=name, weights=weights, powers=powers, draws=draws, seed=seed
        )
        thresholds = _of_other_folds(recipe, test) if folds else None
    except LabelError as error:
        raise LabelError(
            f"no operating point of task {task.name!r} can be chosen: {error.problem}",
            field=f"tasks.{task.name}.operating_point",
            remedy="Use split.kind: kfold, add subjects, or leave operating_point out",
        ) from error
    return point.tested(test, thresholds, draws=draws, seed=seed)


def _first_repetition(predictions: Predictions) -> Predictions:
    if predictions.repetition is None:
        return predictions
    return predictions.rows(np.flatnonzero(predictions.repetition == 0))


def _held_out(corpus: Corpus, store: Store, model: Path, task: TaskRecipe) -> Predictions:
    """Return predictions of subjects that the model is not fitted to, and that are not tested."""
    if task.adaptation.strategy != "probe":
        return predict(Predictor(model), LabelledWindows.load(corpus, store, task, "validation"))
    parts = fitting_windows(corpus, store, task)
    if not (model / OUT_OF_FOLD).is_file():
        raise LabelError("the probe is fitted to too few subjects for inner folds", remedy="Add subjects")
    stored = checksums.loads(checksums.require_sealed(model / OUT_OF_FOLD))
    return Predictions(
        recording_id=np.concatenate([part.recording_ids for part in parts]).astype(object),
        subject_key=np.concatenate([part.subject_keys for part in parts]).astype(object),
        start=np.concatenate([group.starts for part in parts for group in part.groups]) / SAMPLE_RATE_HZ,
        y=np.concatenate([part.y for part in parts]),
        prediction=np.array(stored["p"]),
    )


def _of_other_folds(recipe: OperatingPointRecipe, cases: Cases) -> Array:
    """Return for each case [n] the threshold that the cases of the other folds choose."""
    thresholds = np.zeros(len(cases.p))
    for fold in np.unique(cases.folds):
        ours = cases.folds == fold
        thresholds[ours] = choose_threshold(recipe, cases.where(~ours))
    return thresholds


def _powers(corpus: Corpus, store: Store, task: TaskRecipe) -> Array:
    """Return the band powers of the windows that the model is fitted to."""
    parts = fitting_windows(corpus, store, task)
    return band_powers([group for part in parts for group in part.window_groups(AlignmentRecipe())])
