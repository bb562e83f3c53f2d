"""Calibration of predicted probabilities."""

import numpy as np

from labram.metrics import Array

BINS = 15


def calibration_error(kind: str, y: Array, prediction: Array, bins: int = BINS) -> float | None:
    """Return the expected calibration error: the mean difference of confidence and accuracy over equal-width bins.

    Confidence is the probability of the predicted class (Guo et al. 2017, equation 5).

    Args:
        kind: Kind of the task; a regression has no probabilities.
        y: Class indices [n].
        prediction: Probability of the second class [n], or of each class [n, K].
        bins: Number of bins of equal width.

    Returns:
        The error, from 0 to 1; None for a regression, without windows, or with values that are not finite.
    """
    if kind == "regression" or not len(y) or not np.isfinite(prediction).all():
        return None
    p_nK = np.stack([1 - prediction, prediction], axis=1) if prediction.ndim == 1 else prediction
    confidence, correct = p_nK.max(axis=1), p_nK.argmax(axis=1) == np.asarray(y).astype(int)
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.abs(np.bincount(index, confidence, bins) - np.bincount(index, correct, bins))
    return float(gaps.sum() / len(confidence))
