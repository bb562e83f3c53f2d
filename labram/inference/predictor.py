"""Predictions of any trained model from signals in µV, with any channel names and sampling rate.

Evaluation, serving and embedding all prepare model input here: channel names, resampling, whole seconds, scaling.
Signals must already be filtered as in ingest (band-pass and line-noise notch).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import resample_poly
from torch import Tensor

from labram.errors import RecipeError, WindowError
from labram.input_spec import SAMPLE_RATE_HZ
from labram.linear.features import Aligned, WindowGroup
from labram.linear.probe import Probe
from labram.models import weights
from labram.models.downstream import DownstreamModel, prediction
from labram.models.model_input import WindowEmbedder, model_input
from labram.models.tokenizer import Tokenizer
from labram.recipe import LEAST_WINDOWS, AlignmentRecipe
from labram.signals.alignment import align_request
from labram.signals.electrodes import canonical_name, canonical_names, rows
from labram.training.device import select_device
from labram.training.task_metadata import TaskMetadata

MAX_SFREQ = 100_000
"""Hz; no EEG amplifier samples faster."""
Signals = npt.NDArray[np.float32]


class Predictor:
    """A trained model of any kind, loaded for inference.

    Args:
        folder: Model folder; that of a task model also holds its ``task.json``.
        device: See `labram.training.device.select_device`.

    Raises:
        PlatformError: If the device is not available.

    Attributes:
        device: The device.
        task: Recipe and target scale of the task; None for a tokenizer or a backbone.
        probe: Linear model that predicts from the embeddings; None if the model's own head does.
    """

    def __init__(self, folder: Path, *, device: str | None = None) -> None:
        self.device = select_device(device)
        self.task = TaskMetadata.read(folder) if (folder / TaskMetadata.NAME).is_file() else None
        self.probe = Probe.load(folder)
        model = weights.load(folder)
        if not isinstance(model, DownstreamModel | Tokenizer):
            model, _ = weights.backbone_to_downstream(folder, outputs=1)
        self.model = model.eval().to(self.device)

    @property
    def alignment(self) -> AlignmentRecipe:
        """Alignment of a subject's windows that the model was trained with."""
        return self.task.recipe.alignment if self.task else AlignmentRecipe()

    def predict(self, signals: npt.ArrayLike, channels: Sequence[str], sfreq: float) -> npt.NDArray[Any]:
        """Predict from windows at any sampling rate.

        A model that was trained with an alignment aligns the windows on all of them: they must be of one subject.

        Args:
            signals: µV [n, C, samples], at least one second long.
            channels: Names of the C channels, in any common spelling.
            sfreq: Sampling rate in Hz.

        Returns:
            See `predict_prepared`.

        Raises:
            WindowError: If the shape is wrong, a value is not finite, the windows are too short or too long, or they
                are together too short for the model's alignment.
            RecipeError: If a channel is not in the electrode table; names the closest electrode.
        """
        windows = real_array(signals).astype(np.float32, copy=False)
        check_shape(windows, channels, sfreq)
        check_values(windows)
        names = electrodes(channels).names
        resampled = resample(windows, sfreq)
        self._check_enough(len(resampled))

        def aligned(alignment: AlignmentRecipe) -> list[WindowGroup]:
            return [WindowGroup([align_request(resampled, names, alignment)], names, [""] * len(resampled))]

        return self.predict_windows(aligned)

    def predict_windows(self, windows: Aligned) -> npt.NDArray[Any]:
        """Predict from prepared windows at 200 Hz with canonical channel names.

        Args:
            windows: The windows with any alignment; all windows of each subject that are to be predicted.

        Returns:
            See `predict_prepared`.
        """
        if self.probe is not None:
            assert isinstance(self.model, DownstreamModel)
            return self.probe.predict(windows, WindowEmbedder(self.model, self.probe.pooling))
        groups = windows(self.alignment)
        return np.concatenate(
            [self.predict_prepared(part, group.channels) for group in groups for part in group.signals]
        )

    def predict_alone(self, windows: Aligned) -> npt.NDArray[Any] | None:
        """Predict as `predict_windows` does with LaBraM's part of a stacked probe; None if there is no other part."""
        if self.probe is None or self.probe.alone is None:
            return None
        assert isinstance(self.model, DownstreamModel)
        return self.probe.alone.predict(windows, WindowEmbedder(self.model, self.probe.pooling))

    def describe(self) -> str:
        """Return what predicts in one line; empty if it is the model's own head."""
        return self.probe.card.describe() if self.probe else ""

    @property
    def share(self) -> float:
        """LaBraM's share of the prediction."""
        return self.probe.card.share if self.probe else 1.0

    def _check_enough(self, windows: int) -> None:
        if self.probe is not None and self.probe.within_subject and windows < LEAST_WINDOWS:
            raise WindowError(
                f"the model standardises features within each subject: it needs {LEAST_WINDOWS} windows, got {windows}",
                field="signals",
                remedy=f"Pass at least {LEAST_WINDOWS} windows of one subject in one request",
            )

    @torch.inference_mode()
    def predict_prepared(self, signals: Signals, channels: Sequence[str]) -> npt.NDArray[Any]:
        """Predict with the model's own head from windows at 200 Hz with canonical channel names, aligned as it needs.

        Args:
            signals: µV [n, C, samples]; samples after the last whole second are ignored.
            channels: C canonical names.

        Returns:
            Task model: see `labram.models.downstream.prediction`. Backbone: embeddings [n, D]. Tokenizer: codes
            [n, patches], channel-major.
        """
        batches, rows_N = model_input(signals, channels)
        rows_N = rows_N.to(self.device)
        return np.concatenate([self._predict(batch.to(self.device), rows_N) for batch in batches])

    def _predict(self, x_BNAT: Tensor, rows_N: Tensor) -> npt.NDArray[Any]:
        if isinstance(self.model, Tokenizer):
            return np.asarray(self.model.encode(x_BNAT, rows_N).cpu())
        if self.task is None:
            return np.asarray(self.model.features(x_BNAT, rows_N).cpu())
        output = self.model(x_BNAT, rows_N)
        return prediction(output, self.task.recipe.kind, self.task.target_mean, self.task.target_sd)


@dataclass(frozen=True)
class Electrodes:
    """Channels that are in the model's electrode table.

    Attributes:
        picks: Their positions among the labels.
        names: Their canonical names.
        dropped: Labels of the other channels, unchanged.
    """

    picks: tuple[int, ...]
    names: tuple[str, ...]
    dropped: tuple[str, ...]


def electrodes(labels: Sequence[str], *, drop_unknown: bool = False) -> Electrodes:
    """Match channel labels, in any common spelling, to canonical electrodes.

    Args:
        labels: Channel labels.
        drop_unknown: Drop unknown labels instead of raising an error.

    Raises:
        RecipeError: If a label is not in the electrode table; names the closest electrode.
        WindowError: If a label is not a string, an electrode occurs twice, or no channel remains.
    """
    labels = label_tuple(labels)
    _check_duplicates(labels)
    names = canonical_names(labels)
    unknown = tuple(label for label, name in zip(labels, names, strict=True) if name is None)
    if unknown and not drop_unknown:
        raise RecipeError(
            f"{len(unknown)} of {len(labels)} channels are not in the model's electrode table",
            field="channels",
            remedy="; ".join(map(_hint, unknown)),
        )
    if len(unknown) == len(labels):
        raise WindowError("no channel remains", field="channels", remedy="Use names of the 10-10 system, such as FP1")
    picks = tuple(index for index, name in enumerate(names) if name)
    return Electrodes(picks, tuple(filter(None, names)), unknown)


def label_tuple(labels: object) -> tuple[str, ...]:
    """Return channel labels as a tuple of strings.

    Raises:
        WindowError: If they are not a sequence of strings.
    """
    names = tuple(labels) if isinstance(labels, Iterable) and not isinstance(labels, str) else (labels,)
    invalid = [name for name in names if not isinstance(name, str)]
    if invalid or isinstance(labels, str):
        raise WindowError(
            f"expected a list of channel names, got {(invalid or [labels])[0]!r}{' in it' if invalid else ''}",
            field="channels",
            remedy="Name every channel with a string, such as channels=['FP1', 'FP2']",
        )
    return names


def _check_duplicates(labels: Sequence[str]) -> None:
    spellings: dict[str, list[str]] = {}
    for label in labels:
        if name := canonical_name(label):
            spellings.setdefault(name, []).append(label)
    duplicates = [f"{name} as {' and '.join(map(repr, used))}" for name, used in spellings.items() if len(used) > 1]
    if duplicates:
        raise WindowError(
            f"duplicate channels: {', '.join(duplicates)}", field="channels", remedy="Pass each electrode once"
        )


def _hint(label: str) -> str:
    try:
        rows([label])
    except RecipeError as error:
        return f"{label!r}: {error.remedy}"
    return f"{label!r}: part of a contact grid here, so it is not a scalp position"


def resample(signals: Signals, sfreq: float) -> Signals:
    """Resample signals to 200 Hz (polyphase, Kaiser window).

    Args:
        signals: [n, C, samples].
        sfreq: Their sampling rate in Hz.
    """
    if sfreq == SAMPLE_RATE_HZ:
        return signals
    ratio = Fraction(SAMPLE_RATE_HZ / float(sfreq)).limit_denominator(1000)
    return np.asarray(resample_poly(signals, ratio.numerator, ratio.denominator, axis=-1), dtype=np.float32)


def real_array(signals: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return signals as an array of their own dtype.

    Raises:
        WindowError: If they are ragged or not real numbers.
    """
    try:
        array = np.asarray(signals)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WindowError(
            f"signals are not an array: {error}", field="signals", remedy="Pass windows and channels of equal length"
        ) from error
    if array.dtype.kind not in "iuf":
        raise WindowError(
            f"expected signals of a real dtype, got {array.dtype}",
            field="signals",
            remedy="Pass an array of real numbers, such as float32",
        )
    return array


def check_shape(windows: Signals, channels: Sequence[str], sfreq: float) -> None:
    """Check the shape of windows against their channels and sampling rate.

    Raises:
        WindowError: If the shape or sampling rate is invalid, there is no window, or windows are shorter than a second.
    """
    if windows.ndim != 3:
        raise WindowError(
            f"expected signals with 3 dimensions, got {windows.ndim}",
            field="signals",
            remedy="Pass an array [windows, channels, samples] in µV",
        )
    if not len(windows):
        raise WindowError("signals have no windows", field="signals", remedy="Pass at least one window")
    names = label_tuple(channels)
    if windows.shape[1] != len(names):
        raise WindowError(
            f"signals have {windows.shape[1]} channels, but {len(names)} names were passed",
            field="channels",
            remedy="Name every channel, in the order of the signals, such as channels=['FP1', 'FP2']",
        )
    _check_sfreq(sfreq)
    if not sfreq > 0 or windows.shape[2] < sfreq:
        raise WindowError(
            f"windows are shorter than a second: {windows.shape[2]} samples at {sfreq} Hz",
            field="sfreq",
            remedy="Pass windows of at least one second, and their sampling rate in Hz",
        )


def _check_sfreq(sfreq: object) -> None:
    if isinstance(sfreq, bool) or not isinstance(sfreq, Real) or float(sfreq) > MAX_SFREQ:
        raise WindowError(
            f"invalid sampling rate {sfreq!r}",
            field="sfreq",
            remedy=f"Pass the sampling rate in Hz as a number up to {MAX_SFREQ}, such as sfreq=256",
        )


def check_values(signals: Signals) -> None:
    """Check that all values are finite.

    Raises:
        WindowError: If a value is not.
    """
    if not np.isfinite(signals).all():
        raise WindowError(
            "signals contain NaN, infinite values, or values too large for float32",
            field="signals",
            remedy="Remove such windows, and check the unit",
        )
