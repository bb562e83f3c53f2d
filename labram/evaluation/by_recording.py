"""Scores by recording: each is predicted by the mean over its windows."""

import numpy as np

from labram.evaluation import statistics
from labram.evaluation.predictions import Predictions
from labram.metrics import Array


def by_recording(predictions: Predictions, values: Array | None, kind: str) -> dict[str, float | None]:
    """Return metrics over recordings, each predicted by the mean over its windows.

    Empty unless all windows of a recording have the same label and recordings have several windows.
    """
    if values is None:
        return {}
    recordings = predictions.recording_id.astype(str)
    if predictions.repetition is not None:
        recordings = np.char.add(recordings, np.char.mod(" %d", predictions.repetition))
    _, first, index = np.unique(recordings, return_index=True, return_inverse=True)
    y = predictions.y.reshape(len(predictions.y), -1)
    if len(first) == len(index) or not np.array_equal(y[first][index], y):
        return {}
    flat = values.reshape(len(values), -1)
    means = np.zeros((len(first), flat.shape[1]))
    np.add.at(means, index, flat)
    means /= np.bincount(index)[:, None]
    scores = statistics.single_scores(kind, predictions.y[first], means.reshape(len(first), *values.shape[1:]))
    return {name: value if np.isfinite(value) else None for name, value in scores.items()}
