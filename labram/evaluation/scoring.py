"""Evaluate a task model and its baseline on the same held-out windows."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from labram import metrics
from labram.corpus.catalogue import Corpus
from labram.errors import LabelError
from labram.evaluation import baselines
from labram.evaluation.backbone_probe import compared, twins_of
from labram.evaluation.baselines import AnyBaseline
from labram.evaluation.cross_validation import cross_validate, joined, with_best_baseline
from labram.evaluation.folds import reductions
from labram.evaluation.leakage import Ledger, Seen
from labram.evaluation.predictions import PREDICTIONS_FILE, Predictions
from labram.evaluation.probe_backbone import probe_twins
from labram.evaluation.record import EVALUATION_FILE, Evaluation, summarise
from labram.evaluation.trained_folds import predict_folds
from labram.inference.predictor import Predictor
from labram.input_spec import SAMPLE_RATE_HZ
from labram.linear.features import common_channels
from labram.models import weights
from labram.models.downstream import DownstreamModel
from labram.recipe import LEAST_WINDOWS, Protocol, TaskRecipe
from labram.store.store import Store
from labram.training.data.labelled import LabelledWindows, all_groups, fitting_windows
from labram.training.task_metadata import TaskMetadata


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
    test_uses: int = 0,
    backbone: Path | None = None,
) -> Evaluation:
    """Evaluate a model on subjects that it has not seen, beside a baseline and random weights.

    Under a hold-out split these are the test subjects, and the baseline is fitted to the training and validation
    subjects. In a cross-validated corpus they are all subjects, in folds; model and baseline are then fitted to all of
    them. Writes ``evaluation.json``, ``predictions.parquet`` and the baseline to `out`.

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
        test_uses: How often the test recordings have been used, see `labram.evaluation.test_uses`.
        backbone: Folder of the backbone that was fine-tuned, which is probed too. A probe has it in `model`.

    Raises:
        LabelError: If the task has no test windows, or no training windows for the baseline.
    """
    protocol = corpus.protocol(task.dataset)
    test = LabelledWindows.load(corpus, store, task, None if protocol else "test")
    fitted_to = fitting_windows(corpus, store, task)
    if not fitted_to:
        raise _no_windows("to fit the baseline to")
    fitted = fit_baselines(fitted_to, test, task)
    out.mkdir(parents=True, exist_ok=True)
    for baseline in fitted:
        baseline.save(out)
    predictor = Predictor(model, device=device)
    if protocol and predictor.probe is None:
        predictions = joined(predict_folds(corpus, store, model, task, device=device), task)
    elif protocol:
        predictions = cross_validate(corpus, store, model, task, seed=seed, device=device)
    else:
        predictions = predict(predictor, test, fitted)
    predictions = predictions.with_groups(corpus.catalogue)
    predictions, twins = _beside_random_weights(
        predictions, predictor, backbone, fitted_to, None if protocol else test, task, seed
    )
    twins = None if twins is None else twins.with_groups(corpus.catalogue)
    predictions.write(out / PREDICTIONS_FILE)
    alignment, too_short = test.describe_alignment()
    pretrained, marks = _pretrained(corpus, model, task, predictions)
    used = pretrained_subjects(corpus, model, task)
    cards = [baseline.card for baseline in fitted]
    reduced = (*(reductions(corpus, test, task) if protocol else ()), *left_out_channels([*fitted_to, test]))
    notes = (*dict.fromkeys(card.note for card in cards if card.note), *excluded_windows(test), *too_short, *marks)
    notes += (*reduced, *too_few_windows(test, task))
    evaluation = summarise(
        predictions,
        task,
        split="cross-validation" if protocol else "test",
        protocol=cast("Protocol", protocol or "holdout"),
        corpus_version=corpus_version,
        bootstrap=bootstrap,
        seed=seed,
        baseline_method=describe_best(fitted, predictions, task),
        alignment=alignment,
        predictor=predictor.describe(),
        share=predictor.share,
        pretrained_subjects=pretrained,
        test_uses=test_uses,
        backbone=compared(twins, task, bootstrap=bootstrap, seed=seed, pretrained=used),
        notes=notes,
    )
    evaluation.write(out / EVALUATION_FILE)
    return evaluation


def _beside_random_weights(
    predictions: Predictions,
    predictor: Predictor,
    backbone: Path | None,
    fitted_to: Sequence[LabelledWindows],
    test: LabelledWindows | None,
    task: TaskRecipe,
    seed: int,
) -> tuple[Predictions, Predictions | None]:
    """Return predictions with those of random weights beside a probe, and what the probe of the backbone compares."""
    if (twins := twins_of(predictions)) is not None:
        return predictions, twins
    frozen = predictor.model if predictor.probe is not None else None
    if frozen is None and backbone is not None:
        frozen = weights.backbone_to_downstream(backbone, outputs=1)[0].to(predictor.device)
    if not isinstance(frozen, DownstreamModel):
        return predictions, None
    twins, random = probe_twins(frozen, fitted_to, test, task, seed)
    return (replace(predictions, random=random) if predictor.probe is not None else predictions), twins


def pretrained_subjects(corpus: Corpus, model: Path, task: TaskRecipe) -> set[str]:
    """Return the subjects of a task's dataset whose recordings pre-training used, by key or by content."""
    rows = corpus.accepted(dataset=task.dataset)
    shared = Ledger.read(model).without(task.name).overlap(Seen.of(rows["subject_key"], rows["content_hash"]))
    keys = {key for keys in (*shared.subjects.values(), *shared.contents.values()) for key in keys}
    return set(rows["subject_key"][rows["subject_key"].isin(keys) | rows["content_hash"].isin(keys)])


def _pretrained(corpus: Corpus, model: Path, task: TaskRecipe, predictions: Predictions) -> tuple[int, tuple[str, ...]]:
    """Return how many evaluated subjects pre-training has used, and a note with the score of the others."""
    tested = set(predictions.subject_key)
    subjects = pretrained_subjects(corpus, model, task) & tested
    others = tested - subjects
    if not subjects or not others:
        return len(subjects), ()
    unseen = predictions.of_subjects(others)
    score = metrics.score(task.metric, task.kind, unseen.y, unseen.prediction)
    named = f"{len(others)} subjects" if len(others) > 1 else "one subject"
    return len(subjects), (f"{task.metric} of the {named} that pre-training did not use: {score:.3f}.",)


def fit_baselines(parts: Sequence[LabelledWindows], test: LabelledWindows, task: TaskRecipe) -> list[AnyBaseline]:
    """Fit the baselines on the channels of all montages, those of the test windows too."""
    channels = common_channels([*all_groups(parts)(task.alignment), *test.window_groups()])
    return baselines.fit_all(all_groups(parts), np.concatenate([part.y for part in parts]), task, channels)


def describe_best(fitted: Sequence[AnyBaseline], predictions: Predictions, task: TaskRecipe) -> str:
    """Return a description of the best baseline, and of how many it is the best."""
    by_name: dict[str, AnyBaseline] = {baseline.name: baseline for baseline in fitted}
    name = baselines.best(task, predictions.y, predictions.baselines)
    of = f" (the best of {', '.join(by_name)})" if len(by_name) > 1 else ""
    return f"{by_name[name].card.describe()}{of}"


def predict(predictor: Predictor, windows: LabelledWindows, fitted: Sequence[AnyBaseline] = ()) -> Predictions:
    """Return predictions of a model and of baselines for the same windows.

    Args:
        predictor: The task's model.
        windows: Labelled windows.
        fitted: Fitted baselines.

    Raises:
        LabelError: If there are no windows, or model or baselines do not fit their montage.
    """
    if not len(windows):
        raise _no_windows("to evaluate")
    assert predictor.task is not None, "a task model"
    predictions = Predictions(
        recording_id=windows.recording_ids.astype(object),
        subject_key=windows.subject_keys.astype(object),
        start=np.concatenate([group.starts for group in windows.groups]) / SAMPLE_RATE_HZ,
        y=windows.y,
        prediction=predictor.predict_windows(windows.window_groups).astype(float),
        labram=predictor.predict_alone(windows.window_groups),
        baselines={baseline.name: baseline.predict(windows.window_groups) for baseline in fitted},
    )
    return with_best_baseline(predictions, predictor.task.recipe)


def left_out_channels(parts: Sequence[LabelledWindows]) -> tuple[str, ...]:
    """Return a note on the channels that linear models leave out because a montage lacks them."""
    montages = {montage for part in parts for montage in part.montages}
    shared, every = set.intersection(*map(set, montages)), set.union(*map(set, montages))
    if shared == every:
        return ()
    used = f"the {len(shared)} channels that all {len(montages)} montages share"
    return (f"Linear models use {used}, and leave {', '.join(sorted(every - shared))} out.",)


def too_few_windows(windows: LabelledWindows, task: TaskRecipe) -> tuple[str, ...]:
    """Return a note on subjects with too few windows for standardisation within subjects, if the task does that."""
    if not task.adaptation.within_subject:
        return ()
    _, counts = np.unique(windows.subject_keys, return_counts=True)
    few = int((counts < LEAST_WINDOWS).sum())
    if not few:
        return ()
    subjects = f"{few} of {len(counts)} subjects have fewer than {LEAST_WINDOWS} windows"
    return (f"{subjects} to standardise features over: their predictions are worth little.",)


def excluded_windows(windows: LabelledWindows) -> tuple[str, ...]:
    """Return a note on the labelled windows that the quality check excluded, if any."""
    if not windows.excluded:
        return ()
    total = windows.excluded + len(windows)
    return (f"{windows.excluded} of {total} labelled windows exceed quality.max_window_uv and were left out.",)


def champion_predictions(corpus: Corpus, store: Store, model: Path, task: TaskRecipe) -> Predictions | None:
    """Return predictions of another model, such as the champion, for the windows that the task is evaluated on.

    In a cross-validated corpus its probe is fitted anew in each fold, with its own settings, because the model itself
    may have been fitted to all subjects. None if that is not possible: its weights have seen labels.
    """
    if not corpus.protocol(task.dataset):
        return predict(Predictor(model), LabelledWindows.load(corpus, store, task, "test"))
    settings = TaskMetadata.read(model).recipe
    if settings.adaptation.strategy != "probe":
        return None
    return cross_validate(corpus, store, model, settings, seed=None)


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
