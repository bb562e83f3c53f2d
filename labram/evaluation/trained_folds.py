"""Out-of-fold predictions of models that were trained in every fold of a cross-validation."""

from pathlib import Path

import numpy as np

from labram.corpus.catalogue import Corpus
from labram.corpus.folds import all_folds, fold_corpus
from labram.evaluation import baselines
from labram.evaluation.predictions import Predictions
from labram.inference.predictor import Predictor
from labram.input_spec import SAMPLE_RATE_HZ
from labram.linear.features import common_channels
from labram.recipe import TaskRecipe
from labram.store.store import Store
from labram.training.data.labelled import LabelledWindows, all_groups, fitting_windows


def fold_folder(model: Path, repetition: int, number: int) -> Path:
    """Return the folder of the model of one fold, inside that of the registered model."""
    return model / "folds" / f"{repetition}-{number}"


def predict_folds(
    corpus: Corpus, store: Store, model: Path, task: TaskRecipe, *, device: str | None = None
) -> list[Predictions]:
    """Return the predictions of the model of every fold, and of baselines fitted to the same subjects, for its tests.

    Args:
        corpus: Cross-validated corpus.
        store: Its patches.
        model: Folder of the registered model, with those of the folds.
        task: The task.
        device: Device of the models, see `labram.training.device.select_device`.
    """
    parts = []
    for repetition, number in all_folds(corpus, task.dataset):
        part = fold_corpus(corpus, task.dataset, (repetition, number))
        windows = LabelledWindows.load(part, store, task, "test")
        if len(windows):
            predicted = _predicted(part, store, fold_folder(model, repetition, number), task, windows, device)
            parts.append(
                Predictions(
                    recording_id=windows.recording_ids.astype(object),
                    subject_key=windows.subject_keys.astype(object),
                    start=np.concatenate([group.starts for group in windows.groups]) / SAMPLE_RATE_HZ,
                    y=windows.y,
                    prediction=predicted.pop("model"),
                    baselines=predicted,
                    fold=np.full(len(windows), number),
                    repetition=np.full(len(windows), repetition),
                )
            )
    return parts


def _predicted(
    corpus: Corpus, store: Store, model: Path, task: TaskRecipe, windows: LabelledWindows, device: str | None
) -> dict[str, np.ndarray]:
    fitted_to = fitting_windows(corpus, store, task)
    y = np.concatenate([part.y for part in fitted_to])
    channels = common_channels([*all_groups(fitted_to)(task.alignment), *windows.window_groups()])
    fitted = baselines.fit_all(all_groups(fitted_to), y, task, channels)
    prediction = Predictor(model, device=device).predict_windows(windows.window_groups).astype(float)
    return {"model": prediction, **{base.name: base.predict(windows.window_groups) for base in fitted}}
