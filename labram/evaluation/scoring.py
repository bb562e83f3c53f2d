"""Evaluate a task's model: its predictions and its baseline's on the same held-out windows, and what they are worth."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labram.corpus.catalogue import Corpus, Split
from labram.errors import LabelError
from labram.evaluation import baselines
from labram.evaluation.baselines import Baseline, WindowGroup
from labram.evaluation.leakage import Seen
from labram.evaluation.record import Evaluation, Predictions, summarise
from labram.inference.predictor import Predictor
from labram.input_spec import SAMPLE_RATE_HZ
from labram.recipe import TaskRecipe
from labram.store.store import Store
from labram.training.data.labelled import LabelledGroup, LabelledWindows

WINDOWS_AT_ONCE = 256
EVALUATION, PREDICTIONS = "evaluation.json", "predictions.parquet"


def evaluate(
    corpus: Corpus,
    store: Store,
    model: Path,
    task: TaskRecipe,
    *,
    bootstrap: int,
    seed: int,
    out: Path,
    corpus_version: str = "",
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
        out: Folder for the results.
        corpus_version: Kept with the figures.

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

    Raises:
        LabelError: If there are no windows to fit on, or the montages have no channel in common.
    """
    splits: tuple[Split, ...] = ("train", "validation")
    parts = [LabelledWindows.load(corpus, store, task, split) for split in splits]
    known = [part for part in parts if len(part)]
    if not known:
        raise _no_windows("to fit a baseline on")
    fitted = [group for part in known for group in window_groups(part)]
    channels = baselines.common_channels([*fitted, *window_groups(also)])
    y = np.concatenate([part.y for part in known])
    subjects = np.concatenate([part.subject_keys for part in known])
    return baselines.fit(fitted, y, subjects.tolist(), task, channels=channels)


def predict(model: Path, windows: LabelledWindows, baseline: Baseline | None) -> Predictions:
    """Predictions of a model, and of a baseline where there is one, for the same windows.

    Args:
        model: Folder of the task's model.
        windows: Labelled windows.
        baseline: Fitted baseline.

    Raises:
        LabelError: If there are no windows, or the baseline does not fit their montage.
    """
    if not len(windows):
        raise _no_windows("to evaluate")
    groups = window_groups(windows)
    predictor = Predictor(model)
    parts = [predictor.predict_prepared(signals, group.channels) for group in groups for signals in group.signals]
    return Predictions(
        recording_id=windows.recording_ids.astype(object),
        subject_key=windows.subject_keys.astype(object),
        start=np.concatenate([group.starts for group in windows.groups]) / SAMPLE_RATE_HZ,
        y=windows.y,
        prediction=np.concatenate(parts).astype(float),
        baseline=baseline.predict(groups) if baseline else None,
    )


def champion_predictions(corpus: Corpus, store: Store, model: Path, task: TaskRecipe) -> Predictions:
    """What another model, such as the champion, says about the present test windows."""
    return predict(model, LabelledWindows.load(corpus, store, task, "test"), None)


def evaluated(corpus: Corpus, predictions: Predictions) -> Seen:
    """Subjects and contents of the recordings that were evaluated, for the leakage ledger."""
    rows = corpus.accepted()
    rows = rows[rows["recording_id"].isin(set(predictions.recording_id))]
    return Seen.of(rows["subject_key"], rows["content_hash"])


@dataclass(frozen=True)
class _Stored:
    """Signals of a group in µV, read from the store a few windows at a time, as often as they are asked for."""

    group: LabelledGroup

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        yield from self.group.signals(WINDOWS_AT_ONCE)


def window_groups(windows: LabelledWindows) -> list[WindowGroup]:
    """The windows by montage, in µV, in the order of `windows`."""
    return [WindowGroup(_Stored(group), group.montage) for group in windows.groups]


def _no_windows(purpose: str) -> LabelError:
    return LabelError(
        f"there is no labelled window {purpose}",
        remedy="Give recordings with labels of this task, or change the split in the recipe",
    )
