"""Evaluate a task's model: its predictions and its baseline's on the same held-out windows, and what they are worth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labram.corpus.catalogue import Corpus, Split
from labram.corpus.store import Store
from labram.errors import LabelError
from labram.evaluation import baselines
from labram.evaluation.baselines import Baseline, WindowGroup
from labram.evaluation.inference import SCALE_UV, Inference
from labram.evaluation.leakage import Seen
from labram.evaluation.metrics import Array
from labram.evaluation.record import Evaluation, Predictions, summarise
from labram.recipe import TaskRecipe
from labram.training.labelled import LabelledWindows

EVALUATION, PREDICTIONS = "evaluation.json", "predictions.parquet"


def evaluate(
    corpus: Corpus,
    store: Store,
    model: Path,
    task: TaskRecipe,
    *,
    bootstrap: int,
    seed: int,
    corpus_version: str,
    out: Path,
) -> Evaluation:
    """Score a model on the test subjects, beside a baseline fitted on the training and validation subjects.

    Writes ``evaluation.json``, ``predictions.parquet`` and the baseline to `out`.

    Args:
        corpus: Judged corpus.
        store: Its patches.
        model: Folder of the task's model.
        task: The task.
        bootstrap: Resamplings of subjects.
        seed: Of the resampling.
        corpus_version: Kept with the figures.
        out: Folder for the results.

    Raises:
        LabelError: If the task has no test windows, or no training windows for the baseline.
    """
    test = LabelledWindows.load(corpus, store, task, "test")
    baseline = fit_baseline(corpus, store, task, also=test)
    out.mkdir(parents=True, exist_ok=True)
    baseline.save(out)
    predictions = predict(model, test, baseline)
    predictions.write(out / PREDICTIONS)
    notes = (baseline.card.note,) if baseline.card.note else ()
    evaluation = summarise(
        predictions,
        task,
        split="test",
        corpus_version=corpus_version,
        bootstrap=bootstrap,
        seed=seed,
        baseline_method=baseline.card.describe(),
        notes=notes,
    )
    evaluation.write(out / EVALUATION)
    return evaluation


def fit_baseline(corpus: Corpus, store: Store, task: TaskRecipe, *, also: LabelledWindows) -> Baseline:
    """Fit the baseline on all subjects that are not held out for the test.

    Args:
        corpus: Judged corpus.
        store: Its patches.
        task: The task.
        also: Windows that it will have to predict: their montages limit its channels too.
    """
    splits: tuple[Split, ...] = ("train", "validation")
    parts = [LabelledWindows.load(corpus, store, task, split) for split in splits]
    fitted = [group for part in parts for group in window_groups(part)]
    channels = baselines.common_channels([*fitted, *window_groups(also)])
    y = np.concatenate([_labels(part) for part in parts if len(part)])
    subjects = [str(key) for part in parts for key in part.subject_key]
    return baselines.fit(fitted, y, subjects, task, channels=channels)


def predict(model: Path, windows: LabelledWindows, baseline: Baseline | None) -> Predictions:
    """Predictions of a model, and of a baseline where there is one, for the same windows.

    Args:
        model: Folder of the task's model.
        windows: Labelled windows.
        baseline: Fitted baseline.
    """
    groups = window_groups(windows)
    inference = Inference(model)
    answers = [inference.predict(group.signals, group.channels) for group in groups]
    return Predictions(
        recording_id=np.asarray(windows.recording_id, dtype=object),
        subject_key=np.asarray(windows.subject_key, dtype=object),
        start=np.asarray(windows.start, dtype=float),
        y=_labels(windows),
        prediction=_joined(answers),
        baseline=baseline.predict(groups) if baseline and groups else None,
    )


def champion_predictions(corpus: Corpus, store: Store, model: Path, task: TaskRecipe) -> Predictions:
    """What another model, such as the champion, says about the present test windows."""
    return predict(model, LabelledWindows.load(corpus, store, task, "test"), None)


def evaluated(corpus: Corpus, predictions: Predictions) -> Seen:
    """Subjects and contents of the recordings that were evaluated, for the leakage ledger."""
    rows = corpus.accepted()
    rows = rows[rows["recording_id"].isin(set(predictions.recording_id))]
    return Seen.of(rows["subject_key"], rows["content_hash"])


def window_groups(windows: LabelledWindows) -> list[WindowGroup]:
    """The windows by montage, in µV, in the order of `windows`."""
    groups = []
    for group in windows.groups:
        n, channels = group.x.shape[:2]
        groups.append(WindowGroup(signals=group.x.reshape(n, channels, -1) * SCALE_UV, channels=group.montage))
    return groups


def _labels(windows: LabelledWindows) -> Array:
    return np.asarray(windows.y, dtype=float)


def _joined(answers: Sequence[np.ndarray]) -> Array:
    if not answers:
        raise LabelError(
            "there is no labelled window to evaluate",
            remedy="Give recordings with labels of this task, or enlarge the test split in the recipe",
        )
    return np.concatenate(answers).astype(float)
