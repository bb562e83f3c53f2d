"""Alignment of a subject's windows without labels: one linear map of the channels, from the subject's own signals.

Euclidean alignment (He & Wu 2020, IEEE Trans. Biomed. Eng. 67(2), 399-410): the inverse square root of the mean
covariance of the windows, so that the aligned covariance of every subject is the identity. Here it is scaled to
`SD_UV`, because the models expect plausible amplitudes in µV. Windows are not centred; only their covariance is.

Shape letters: n windows, N channels, T samples.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labram.errors import WindowError
from labram.input_spec import SAMPLE_RATE_HZ
from labram.recipe import AlignmentRecipe

SD_UV = 10.0
"""SD of every aligned channel over the subject's windows: the typical RMS of EEG."""
SMALLEST_VARIANCE = 1e-6
"""µV², far below amplifier noise: signals without variance are left as they are."""


@dataclass(frozen=True)
class Alignment:
    """The map of one subject and montage.

    Attributes:
        matrix: float32 [N, N]; aligned = matrix @ signals.
        seconds: Duration of the windows that it was computed from.
        complete: Whether they were enough. If not, only their overall amplitude is aligned.
    """

    matrix: NDArray[np.float32]
    seconds: float
    complete: bool = True

    def apply(self, signals: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return aligned signals [..., N, T]."""
        return np.asarray(np.matmul(self.matrix, signals))


def seconds_needed(settings: AlignmentRecipe, channels: int) -> int:
    """Return how many seconds of a subject an alignment needs: Euclidean alignment, one for each channel.

    One on rest needs all seconds that the recipe states.
    """
    needed = {"none": 0, "zscore": 1, "euclidean": channels}[settings.kind]
    return max(needed, settings.seconds or 0) if settings.source == "rest" else needed


def missing(channels: int) -> Alignment:
    """Return the alignment of a subject without any signal to compute it from: none."""
    return Alignment(np.eye(channels, dtype=np.float32), 0.0, complete=False)


def fit(parts: Iterable[NDArray[np.float32]], settings: AlignmentRecipe) -> Alignment:
    """Compute the alignment of one subject and montage from all of its windows.

    Args:
        parts: The windows in any number of parts, at least one, each µV at 200 Hz [n, N, T].
        settings: Kind and shrinkage.
    """
    total: NDArray[np.float64] | None = None
    samples = 0
    for windows in parts:
        centred = windows.astype(np.float64) - windows.mean(axis=-1, keepdims=True)
        covariance = np.einsum("ncs,nds->cd", centred, centred, optimize=True)
        total = covariance if total is None else total + covariance
        samples += len(windows) * windows.shape[-1]
    assert total is not None, "a window"
    seconds = samples / SAMPLE_RATE_HZ
    complete = seconds >= seconds_needed(settings, len(total))
    matrix = _map(total / samples, settings.kind if complete else "amplitude", settings.shrinkage)
    return Alignment(matrix.astype(np.float32), seconds, complete)


def _map(covariance: NDArray[np.float64], kind: str, shrinkage: float) -> NDArray[np.float64]:
    channels, variances = len(covariance), np.diag(covariance)
    mean = variances.mean()
    if kind == "none" or mean < SMALLEST_VARIANCE:
        return np.eye(channels)
    if kind == "amplitude":
        return np.asarray(np.eye(channels) * SD_UV / np.sqrt(mean))
    if kind == "zscore":
        return np.asarray(
            np.diag(np.where(variances < SMALLEST_VARIANCE, 1.0, SD_UV / np.sqrt(np.maximum(variances, 1e-12))))
        )
    # A montage with an average reference or interpolated channels has no full rank: shrinkage bounds its noise.
    values, vectors = np.linalg.eigh((1 - shrinkage) * covariance + shrinkage * mean * np.eye(channels))
    return np.asarray((vectors * (SD_UV / np.sqrt(np.maximum(values, 1e-9 * mean)))) @ vectors.T)


def align_request(
    windows: NDArray[np.float32], channels: Sequence[str], settings: AlignmentRecipe
) -> NDArray[np.float32]:
    """Return the windows of a request, aligned on all of them, or on the first: they must be of one subject.

    The windows that a model with ``source: rest`` is aligned on must be of rest, which cannot be checked.

    Args:
        windows: µV at 200 Hz [n, N, T].
        channels: N names.
        settings: Alignment of the model.

    Raises:
        WindowError: If they are too short together.
    """
    if settings.kind == "none":
        return windows
    length = windows.shape[-1] / SAMPLE_RATE_HZ
    first = windows if settings.seconds is None else windows[: int(np.ceil(settings.seconds / length))]
    alignment = fit([first], settings)
    if not alignment.complete:
        needed = seconds_needed(settings, len(channels))
        raise WindowError(
            f"the model aligns each subject on the subject's own signals: {len(channels)} channels need {needed} s"
            f"{' of rest' if settings.source == 'rest' else ''}, got {alignment.seconds:g} s",
            field="signals",
            remedy=f"Pass at least {needed} s of windows of one subject in one request, or fewer channels",
        )
    return alignment.apply(windows)


def describe(settings: AlignmentRecipe, alignments: Sequence[Alignment] = ()) -> str:
    """Return one line for reports: kind, source, and the seconds that were used."""
    if settings.kind == "none":
        return "none"
    name = {"euclidean": "Euclidean alignment", "zscore": "z-score of each channel"}[settings.kind]
    seconds = sorted(alignment.seconds for alignment in alignments)
    span = f" ({seconds[0]:.0f} to {seconds[-1]:.0f} s each)" if seconds else ""
    first = "all" if settings.seconds is None else f"the first {settings.seconds} s of the"
    source = {
        "all": f"{first} windows of the subject without their labels",
        "unlabelled": f"{first} signals of the subject that have no label of the task",
        "rest": f"{settings.seconds} s of rest of each subject, known by their labels and not scored (calibrated)",
    }[settings.source]
    return f"{name}, by subject and montage, on {source}{span}"
