"""Evaluate a trained model on a folder of new recordings."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.corpus.ingest import ingest
from labram.corpus.quality import check_quality
from labram.corpus.scan import require_stated_subjects, scan
from labram.datasets.finder import file_datasets
from labram.datasets.task_check import check_task
from labram.errors import LabelError, LabramWarning, RecipeError
from labram.evaluation import baselines
from labram.evaluation.leakage import Ledger
from labram.evaluation.predictions import PREDICTIONS_FILE, Predictions
from labram.evaluation.record import EVALUATION_FILE, Evaluation, summarise
from labram.evaluation.scoring import describe_best, evaluated, excluded_windows, predict
from labram.evaluation.test_uses import log_use
from labram.events import Monitor, NullMonitor
from labram.inference.predictor import Predictor
from labram.recipe import MODEL_FILE, GateRecipe, PreprocessingRecipe, QualityRecipe, Recipe, TaskRecipe
from labram.scratch_folder import scratch_folder
from labram.store.store import Store
from labram.training.data.labelled import LabelledWindows
from labram.training.task_metadata import TaskMetadata

log = logging.getLogger(__name__)


def score_folder(
    model: Path,
    data: Path,
    task: str,
    *,
    store: Store,
    subject_key: bytes,
    corpus_version: str = "",
    monitor: Monitor | None = None,
    out: Path | None = None,
    subject: str = "",
    device: str | None = None,
    test_uses: Path | None = None,
    observe: Callable[[LabelledWindows, Predictions], object] = lambda *_: None,
) -> Evaluation:
    """Evaluate a model on all labelled windows of a folder, preprocessed and checked as its training recordings were.

    Args:
        model: Folder of a task model (see `labram.registry.model_registry.local_folder`).
        data: Folder in the layout of the task's dataset, or one that holds such a folder.
        task: Name of the model's task.
        store: Store for patches; recordings that are in it already are not preprocessed again.
        subject_key: Pseudonymisation key of the workspace, so that subjects used in training are recognised.
        corpus_version: Version of `data`.
        monitor: Receives progress, recording by recording.
        out: Folder for ``evaluation.json`` and ``predictions.parquet``; None: nothing is written.
        subject: Pattern of subjects (see `labram.corpus.scan.scan`); empty: that of the model's recipe.
        device: Device of the model, see `labram.training.device.select_device`.
        test_uses: Log of tests (see `labram.evaluation.test_uses`); None: the test is not logged.
        observe: Called with the windows and their predictions, while the windows can be read.

    Returns:
        The evaluation. `overlap` counts recordings that were used in training, by content or subject; a warning reports
        it, because their scores do not measure generalisation.

    Raises:
        RecipeError: If the model was trained for another task.
        CorpusError: If the folder holds no recording of the task's dataset, none can be used, or subjects are guessed.
        LabelError: If no recording has labels of the task, or the dataset's classes are no longer those of the model.
    """
    settings = _task_of(model, task, data)
    recipe, notes = _recipe_of(model)
    preprocessing = recipe.preprocessing if recipe else PreprocessingRecipe()
    quality = recipe.quality if recipe else QualityRecipe()
    subject = subject or (recipe.corpus.subject if recipe else "")
    require_stated_subjects(scan(data, [settings.dataset], subject), data, settings.name, settings.dataset)
    with scratch_folder() as temporary:
        shard, judged = temporary / "shard", temporary / "corpus"
        ingest(
            data,
            [settings.dataset],
            shard,
            store=store,
            preprocessing=preprocessing,
            shard=0,
            shards=1,
            subject_key=subject_key,
            monitor=monitor or NullMonitor(),
            subject=subject,
        )
        tasks = {settings.name: settings.dataset}
        summary = check_quality([shard], judged, quality, "test", tasks=tasks, store=store)
        corpus = Corpus.load(judged)
    if summary.quarantined:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(summary.reasons.items()))
        notes += (f"{summary.quarantined} of {summary.recordings} recordings were quarantined: {reasons}.",)
    windows = LabelledWindows.load(corpus, store, settings, "test")
    predictor = Predictor(model, device=device)
    predictions, method, doubts = _predictions(predictor, model, windows)
    predictions = predictions.with_groups(corpus.catalogue)
    observe(windows, predictions)
    alignment, too_short = windows.describe_alignment()
    uses = 0
    if test_uses is not None:
        uses = log_use(
            test_uses, corpus.tested(settings.dataset, task), task=task, purpose="external", run="labram evaluate"
        )
    overlap, warning = _overlap(model, corpus, predictions)
    gates = recipe.gates if recipe else GateRecipe()
    evaluation = summarise(
        predictions,
        settings,
        split="unseen",
        corpus_version=corpus_version,
        bootstrap=gates.bootstrap,
        seed=recipe.seed if recipe else 0,
        baseline_method=method,
        alignment=alignment,
        predictor=predictor.describe(),
        share=predictor.share,
        overlap=overlap,
        test_uses=uses,
        notes=(*warning, *notes, *doubts, *too_short),
    )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        evaluation.write(out / EVALUATION_FILE)
        predictions.write(out / PREDICTIONS_FILE)
    return evaluation


def _task_of(model: Path, task: str, data: Path) -> TaskRecipe:
    settings = TaskMetadata.read(model).recipe
    if settings.name != task:
        raise RecipeError(
            f"the model was fine-tuned for the task {settings.name!r}, not for {task!r}",
            field="task",
            remedy=f"Pass --task {settings.name}, or another model",
        )
    check_task(settings, file_datasets(data))
    return settings


def _recipe_of(model: Path) -> tuple[Recipe | None, tuple[str, ...]]:
    path = model / MODEL_FILE
    if path.is_file():
        return Recipe.from_json(path.read_text(encoding="utf-8")), ()
    return None, ("The model has no recipe: preprocessing and quality thresholds are the defaults.",)


def _predictions(
    predictor: Predictor, model: Path, windows: LabelledWindows
) -> tuple[Predictions, str, tuple[str, ...]]:
    """Return predictions, a description of the baseline, and notes on why it could not be used."""
    notes, fitted = excluded_windows(windows), baselines.load_all(model)
    if not fitted:
        return predict(predictor, windows), "", (*notes, "The model has no baseline.")
    assert predictor.task is not None, "a task model"
    try:
        predictions = predict(predictor, windows, fitted)
    except LabelError as error:
        return predict(predictor, windows), "", (*notes, str(error))
    return predictions, describe_best(fitted, predictions, predictor.task.recipe), notes


def _overlap(model: Path, corpus: Corpus, predictions: Predictions) -> tuple[int, tuple[str, ...]]:
    """Return how many evaluated recordings were used in training, or are of a subject used there, and a warning."""
    shared = Ledger.read(model).overlap(evaluated(corpus, predictions))
    if shared.empty:
        return 0, ()
    subjects = {key for keys in shared.subjects.values() for key in keys}
    contents = {key for keys in shared.contents.values() for key in keys}
    rows = corpus.accepted()
    rows = rows[rows["recording_id"].isin(set(predictions.recording_id))]
    count = int((rows["subject_key"].isin(subjects) | rows["content_hash"].isin(contents)).sum())
    text = (
        f"{count} of {len(rows)} recordings were used in training, or their subjects were ({shared.describe()}): "
        "these scores do not measure performance on new subjects."
    )
    warnings.warn(text, LabramWarning, stacklevel=3)
    return count, (text,)
