"""Evaluate a task model and its baseline on the same held-out windows."""

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
from labram.evaluation.record import EVALUATION_FILE, PREDICTIONS_FILE, Evaluation, Predictions, summarise
from labram.inference.predictor import Predictor
from labram.input_spec import SAMPLE_RATE_HZ
from labram.recipe import TaskRecipe
from labram.store.store import Store
from labram.training.data.labelled import LabelledGroup, LabelledWindows

WINDOWS_AT_ONCE = 256


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
    device: str | None = None,
) -> Evaluation:
    """Evaluate a model on the test subjects, and a baseline fitted to the training and validation subjects.

    Writes ``evaluation.json``, ``predictions.parquet`` and the baseline to `out`.

    Args:
        corpus: Judged corpus.
        store: Its patches.
        model: Folder of the task's model.
        task: The task.
        bootstrap: Number of bootstrap draws of subjects.
        seed: Seed of the draws.
        out: Folder for the results.
        corpus_version: Version of the corpus, for the record.
        device: Device of the model, see `labram.training.device.select_device`.

    Raises:
        LabelError: If the task has no test windows, or no training windows for the baseline.
    """
    test = LabelledWindows.load(corpus, store, task, "test")
    baseline = fit_baseline(corpus, store, task, also=test)
    out.mkdir(parents=True, exist_ok=True)
    baseline.save(out)
    predictions = predict(model, test, baseline, device=device)
    predictions.write(out / PREDICTIONS_FILE)
    alignment, too_short = test.describe_alignment()
    notes = (*([baseline.card.note] if baseline.card.note else []), *excluded_windows(test), *too_short)
    evaluation = summarise(
        predictions,
        task,
        split="test",
        corpus_version=corpus_version,
        bootstrap=bootstrap,
        seed=seed,
        baseline_method=baseline.card.describe(),
        alignment=alignment,
        notes=notes,
    )
    evaluation.write(out / EVALUATION_FILE)
    return evaluation


def fit_baseline(corpus: Corpus, store: Store, task: TaskRecipe, *, also: LabelledWindows) -> Baseline:
    """Fit the baseline to the training and validation subjects.

    Args:
        corpus: Judged corpus.
        store: Store with the patches.
        task: The task.
        also: Windows to predict later: their montages limit the channels too.

    Raises:
        LabelError: If there are no windows to fit, or the montages share no channel.
    """
    splits: tuple[Split, ...] = ("train", "validation")
    parts = [LabelledWindows.load(corpus, store, task, split) for split in splits]
    parts = [part for part in parts if len(part)]
    if not parts:
        raise _no_windows("to fit the baseline to")
    fitted = [group for part in parts for group in window_groups(part)]
    channels = baselines.common_channels([*fitted, *window_groups(also)])
    return baselines.fit(fitted, np.concatenate([part.y for part in parts]), task, channels=channels)


def predict(
    model: Path, windows: LabelledWindows, baseline: Baseline | None, *, device: str | None = None
) -> Predictions:
    """Return predictions of a model, and of a baseline if there is one, for the same windows.

    Args:
        model: Folder of the task's model.
        windows: Labelled windows.
        baseline: Fitted baseline, or None.
        device: Device of the model, see `labram.training.device.select_device`.

    Raises:
        LabelError: If there are no windows, or the baseline does not fit their montage.
    """
    if not len(windows):
        raise _no_windows("to evaluate")
    predictor = Predictor(model, device=device)
    groups = window_groups(windows.aligned(predictor.alignment))
    parts = [predictor.predict_prepared(signals, group.channels) for group in groups for signals in group.signals]
    return Predictions(
        recording_id=windows.recording_ids.astype(object),
        subject_key=windows.subject_keys.astype(object),
        start=np.concatenate([group.starts for group in windows.groups]) / SAMPLE_RATE_HZ,
        y=windows.y,
        prediction=np.concatenate(parts).astype(float),
        baseline=baseline.predict(window_groups(windows.aligned(baseline.card.alignment))) if baseline else None,
    )


def excluded_windows(windows: LabelledWindows) -> tuple[str, ...]:
    """Return a note on the labelled windows that the quality check excluded, if any."""
    if not windows.excluded:
        return ()
    total = windows.excluded + len(windows)
    return (f"{windows.excluded} of {total} labelled windows exceed quality.max_window_uv and were left out.",)


def champion_predictions(corpus: Corpus, store: Store, model: Path, task: TaskRecipe) -> Predictions:
    """Return predictions of another model, such as the champion, for the test windows."""
    return predict(model, LabelledWindows.load(corpus, store, task, "test"), None)


def evaluated(corpus: Corpus, predictions: Predictions) -> Seen:
    """Return subjects and content hashes of the evaluated recordings, for the leakage ledger."""
    rows = corpus.accepted()
    rows = rows[rows["recording_id"].isin(set(predictions.recording_id))]
    return Seen.of(rows["subject_key"], rows["content_hash"])


@dataclass(frozen=True)
class _Stored:
    """Signals of a group in µV, read from the store in batches on every iteration."""

    group: LabelledGroup

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        yield from self.group.signals(WINDOWS_AT_ONCE)


def window_groups(windows: LabelledWindows) -> list[WindowGroup]:
    """Return the windows by montage, in µV, in the order of `windows`."""
    return [WindowGroup(_Stored(group), group.montage, group.subject_keys.tolist()) for group in windows.groups]


def _no_windows(purpose: str) -> LabelError:
    return LabelError(
        f"no labelled windows {purpose}",
        remedy="Add recordings with labels of this task, or change the split in the recipe",
    )
