"""Answers of any trained model, from signals in µV with the channel names and the rate of whoever asks.

This is the one place where signals become model input, for evaluation, serving and embedding alike. Signals are
expected as ingest leaves them, band-passed and free of mains hum; what is done here is naming, resampling, cutting and
scaling.
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
from labram.input_spec import MAX_PATCHES, SAMPLE_RATE_HZ, to_model_unit
from labram.models import weights
from labram.models.downstream import DownstreamModel, prediction
from labram.models.tokenizer import Tokenizer
from labram.signals.electrodes import canonical_name, canonical_names, rows
from labram.training.task_metadata import TaskFile

HIGHEST_RATE = 100_000
"""Hz; no recorder of EEG samples faster."""
PATCHES_AT_ONCE = 8192
Signals = npt.NDArray[np.float32]


class Predictor:
    """A model of any kind, ready to answer.

    Args:
        folder: With the weights; a task's model also needs its ``task.json``.

    Attributes:
        task: The task's recipe and target scale; None for tokenizer and backbone.
    """

    def __init__(self, folder: Path) -> None:
        self.task = TaskFile.read(folder) if (folder / TaskFile.NAME).is_file() else None
        model = weights.load(folder)
        if not isinstance(model, DownstreamModel | Tokenizer):
            model, _ = weights.backbone_to_downstream(folder, outputs=1)
        self.model = model.eval()

    def predict(self, signals: npt.ArrayLike, channels: Sequence[str], sfreq: float) -> npt.NDArray[Any]:
        """Answer raw windows.

        Args:
            signals: µV [n, C, samples], at least one second long.
            channels: Names of the C channels, in any usual spelling.
            sfreq: Sampling rate in Hz.

        Returns:
            See `predict`.

        Raises:
            WindowError: If the shape does not fit, a value is no finite number, or the window is too short or too long.
            RecipeError: If a channel is no electrode that the model knows; says which is closest.
        """
        windows = real_array(signals).astype(np.float32, copy=False)
        check_shape(windows, channels, sfreq)
        check_values(windows)
        return self.predict_prepared(resample(windows, sfreq), electrodes(channels).names)

    @torch.inference_mode()
    def predict_prepared(self, signals: Signals, channels: Sequence[str]) -> npt.NDArray[Any]:
        """Answer windows at 200 Hz with canonical channel names.

        Args:
            signals: µV [n, C, samples]; what exceeds whole seconds is cut off.
            channels: C names.

        Returns:
            Of a task: probability of class 1 [n] (binary), of each class [n, K], or values [n, M] in the targets' unit
            (regression). Of a backbone: embeddings [n, D]. Of a tokenizer: codes [n, patches], channel after channel.
        """
        batches, rows_N = model_input(signals, channels)
        return np.concatenate([self._predict(batch, rows_N) for batch in batches])

    def _predict(self, x_BNAT: Tensor, rows_N: Tensor) -> npt.NDArray[Any]:
        if isinstance(self.model, Tokenizer):
            return np.asarray(self.model.encode(x_BNAT, rows_N))
        if self.task is None:
            return np.asarray(self.model.features(x_BNAT, rows_N))
        output = self.model(x_BNAT, rows_N)
        return prediction(output, self.task.recipe.kind, self.task.target_mean, self.task.target_sd)


@dataclass(frozen=True)
class Electrodes:
    """Which channels the model takes.

    Attributes:
        picks: Their positions among the labels.
        names: Their canonical names.
        dropped: Labels of the others, as they were given.
    """

    picks: tuple[int, ...]
    names: tuple[str, ...]
    dropped: tuple[str, ...]


def electrodes(labels: Sequence[str], *, drop_unknown: bool = False) -> Electrodes:
    """Find the channels' electrodes by their labels, in any usual spelling.

    Raises:
        RecipeError: If a label is no electrode that the model knows; says which is closest.
        WindowError: If a label is no text, an electrode occurs twice, or none is left.
    """
    labels = texts(labels)
    _check_once(labels)
    names = canonical_names(labels)
    unknown = tuple(label for label, name in zip(labels, names, strict=True) if name is None)
    if unknown and not drop_unknown:
        raise RecipeError(
            f"{len(unknown)} of {len(labels)} channels are no electrodes that the model knows",
            field="channels",
            remedy="; ".join(map(_hint, unknown)),
        )
    if len(unknown) == len(labels):
        raise WindowError("no channel is left", field="channels", remedy="Use names of the 10-10 system, such as FP1")
    picks = tuple(index for index, name in enumerate(names) if name)
    return Electrodes(picks, tuple(filter(None, names)), unknown)


def texts(labels: object) -> tuple[str, ...]:
    """Labels of channels, whatever kind of list they come in.

    Raises:
        WindowError: If they are no list of texts.
    """
    found = tuple(labels) if isinstance(labels, Iterable) and not isinstance(labels, str) else (labels,)
    wrong = [label for label in found if not isinstance(label, str)]
    if wrong or isinstance(labels, str):
        raise WindowError(
            f"{(wrong or [labels])[0]!r} is no {'label' if wrong else 'list of labels'}",
            field="channels",
            remedy="Name every channel by a text, such as channels=['FP1', 'FP2']",
        )
    return found


def _check_once(labels: Sequence[str]) -> None:
    spellings: dict[str, list[str]] = {}
    for label in labels:
        if name := canonical_name(label):
            spellings.setdefault(name, []).append(label)
    twice = [f"{name} as {' and '.join(map(repr, given))}" for name, given in spellings.items() if len(given) > 1]
    if twice:
        raise WindowError(
            f"a channel occurs twice: {', '.join(twice)}", field="channels", remedy="Give each electrode once"
        )


def _hint(label: str) -> str:
    try:
        rows([label])
    except RecipeError as error:
        return f"{label!r}: {error.remedy}"
    return f"{label!r}: stands in a grid of contacts here, so it names no position"


def model_input(signals: Signals, channels: Sequence[str]) -> tuple[tuple[Tensor, ...], Tensor]:
    """Windows as the models take them, in batches, and the rows of their channels.

    Args:
        signals: µV [n, C, samples] at 200 Hz; what exceeds whole seconds is cut off.
        channels: C canonical names.

    Returns:
        Batches [B, N, A, 200] in units of 100 µV, and rows [N].

    Raises:
        WindowError: If a window has no patch, or more than 256.
    """
    n, count, samples = signals.shape
    seconds = samples // SAMPLE_RATE_HZ
    if not 1 <= count * seconds <= MAX_PATCHES:
        raise WindowError(
            f"windows of {count} channels x {seconds} s are {count * seconds} patches",
            field="signals",
            remedy=f"Give 1 to {MAX_PATCHES} patches: shorten the windows or leave channels out",
        )
    scaled = to_model_unit(signals[..., : seconds * SAMPLE_RATE_HZ])
    x_BNAT = torch.from_numpy(scaled.reshape(n, count, seconds, SAMPLE_RATE_HZ))
    return torch.split(x_BNAT, max(1, PATCHES_AT_ONCE // (count * seconds))), torch.tensor(rows(channels))


def resample(signals: Signals, sfreq: float) -> Signals:
    """Resample to 200 Hz (polyphase, Kaiser window).

    Args:
        signals: [n, C, samples].
        sfreq: Present rate in Hz.
    """
    if sfreq == SAMPLE_RATE_HZ:
        return signals
    ratio = Fraction(SAMPLE_RATE_HZ / float(sfreq)).limit_denominator(1000)
    return np.asarray(resample_poly(signals, ratio.numerator, ratio.denominator, axis=-1), dtype=np.float32)


def real_array(signals: npt.ArrayLike) -> npt.NDArray[Any]:
    """Signals as an array, of the type that they came in.

    Raises:
        WindowError: If they are ragged, or no real numbers.
    """
    try:
        array = np.asarray(signals)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WindowError(
            f"signals make no array: {error}", field="signals", remedy="Give windows and channels of equal lengths"
        ) from error
    if array.dtype.kind not in "iuf":
        raise WindowError(
            f"signals are of type {array.dtype}",
            field="signals",
            remedy="Give an array of real numbers, such as float32",
        )
    return array


def check_shape(windows: Signals, channels: Sequence[str], sfreq: float) -> None:
    """Refuse arrays that cannot be windows of these channels at this rate, whatever their values.

    Raises:
        WindowError: If the shape or the rate does not fit, or the windows are none or shorter than a second.
    """
    if windows.ndim != 3:
        raise WindowError(
            f"signals have {windows.ndim} dimensions",
            field="signals",
            remedy="Give an array [windows, channels, samples] in µV",
        )
    if not len(windows):
        raise WindowError("there are no windows", field="signals", remedy="Give at least one")
    names = texts(channels)
    if windows.shape[1] != len(names):
        raise WindowError(
            f"{windows.shape[1]} channels of signals, {len(names)} names",
            field="channels",
            remedy="Name every channel, in the order of the signals, such as channels=['FP1', 'FP2']",
        )
    _check_rate(sfreq)
    if not sfreq > 0 or windows.shape[2] < sfreq:
        raise WindowError(
            f"{windows.shape[2]} samples at {sfreq} Hz are less than a second",
            field="sfreq",
            remedy="Give windows of at least one second, and their rate in Hz",
        )


def _check_rate(sfreq: object) -> None:
    if isinstance(sfreq, bool) or not isinstance(sfreq, Real) or float(sfreq) > HIGHEST_RATE:
        raise WindowError(
            f"{sfreq!r} is no sampling rate",
            field="sfreq",
            remedy=f"Give the rate in Hz as a number up to {HIGHEST_RATE}, such as sfreq=256",
        )


def check_values(signals: Signals) -> None:
    """Refuse values that are no finite numbers.

    Raises:
        WindowError: If there is one.
    """
    if not np.isfinite(signals).all():
        raise WindowError(
            "signals hold values that are NaN, infinite or too large for float32",
            field="signals",
            remedy="Leave such windows out, and check the unit",
        )
