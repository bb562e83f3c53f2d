"""Evaluate a task model and its baseline on the same held-out windows."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from labram.corpus.catalogue import Corpus, Split
from labram.errors import LabelError
from labram.evaluation.baselines import Baseline
from labram.evaluation.leakage import Seen
from labram.evaluation.random_weights import predict_untrained
from labram.evaluation.record import EVALUATION_FILE, PREDICTIONS_FILE, Evaluation, Predictions, summarise
from labram.inference.predictor import Predictor
from labram.input_spec import SAMPLE_RATE_HZ
from labram.linear.features import common_channels
from labram.recipe import TaskRecipe
from labram.store.store import Store
from labram.training.data.labelled import LabelledWindows, all_groups


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
    fitted_to = fitting_windows(corpus, store, task)
    baseline = fit_baseline(fitted_to, test, task)
    out.mkdir(parents=True, exist_ok=True)
    baseline.save(out)
    predictor = Predictor(model, device=device)
    predictions = replace(
        predict(predictor, test, baseline), random=predict_untrained(predictor, fitted_to, test, task, seed)
    )
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
        predictor=predictor.describe(),
        share=predictor.share,
        notes=notes,
    )
    evaluation.write(out / EVALUATION_FILE)
    return evaluation


def fitting_windows(corpus: Corpus, store: Store, task: TaskRecipe) -> list[LabelledWindows]:
    """Return the windows of the training and validation subjects, which baseline and probes are fitted to."""
    splits: tuple[Split, ...] = ("train", "validation")
    parts = [LabelledWindows.load(corpus, store, task, split) for split in splits]
    if not any(map(len, parts)):
        raise _no_windows("to fit the baseline to")
    return [part for part in parts if len(part)]


def fit_baseline(parts: Sequence[LabelledWindows], test: LabelledWindows, task: TaskRecipe) -> Baseline:
    """Fit the baseline on the channels of all montages, those of the test windows too."""
    channels = common_channels([*all_groups(parts)(task.alignment), *test.window_groups()])
    return Baseline.fit(all_groups(parts), np.concatenate([part.y for part in parts]), task, channels)


def predict(predictor: Predictor, windows: LabelledWindows, baseline: Baseline | None) -> Predictions:
    """Return predictions of a model, and of a baseline if there is one, for the same windows.

    Args:
        predictor: The task's model.
        windows: Labelled windows.
        baseline: Fitted baseline, or None.

    Raises:
        LabelError: If there are no windows, or model or baseline do not fit their montage.
    """
    if not len(windows):
        raise _no_windows("to evaluate")
    alone = predictor.predict_alone(windows.window_groups)
    return Predictions(
        recording_id=windows.recording_ids.astype(object),
        subject_key=windows.subject_keys.astype(object),
        start=np.concatenate([group.starts for group in windows.groups]) / SAMPLE_RATE_HZ,
        y=windows.y,
        prediction=predictor.predict_windows(windows.window_groups).astype(float),
        baseline=baseline.predict(windows.window_groups) if baseline else None,
        labram=alone,
    )


def excluded_windows(windows: LabelledWindows) -> tuple[str, ...]:
    """Return a note on the labelled windows that the quality check excluded, if any."""
    if not windows.excluded:
        return ()
    total = windows.excluded + len(windows)
    return (f"{windows.excluded} of {total} labelled windows exceed quality.max_window_uv and were left out.",)


def champion_predictions(corpus: Corpus, store: Store, model: Path, task: TaskRecipe) -> Predictions:
    """Return predictions of another model, such as the champion, for the test windows."""
    return predict(Predictor(model), LabelledWindows.load(corpus, store, task, "test"), None)


def evaluated(corpus: Corpus, predictions: Predictions) -> Seen:
    """Return subjects and content hashes of the evaluated recordings, for the leakage ledger."""
    rows = corpus.accepted()
    rows = rows[rows["recording_id"].isin(set(predictions.recording_id))]
    return Seen.of(rows["subject_key"], rows["content_hash"])


def _no_windows(purpose: str) -> LabelError:
    return LabelError(
        f"no labelled windows {purpose}",
        remedy="Add recordings with labels of this task, or change the split in the recipe",
    )
