"""Answers of any trained model, from signals in µV with the channel names and the rate of whoever asks.

This is the one place where signals become model input, for evaluation, serving and embedding alike. Signals are
expected as ingest leaves them, band-passed and free of mains hum; what is done here is naming, resampling, cutting and
scaling.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import resample_poly
from torch import Tensor

from labram.errors import RecipeError, WindowError
from labram.models import weights
from labram.models.downstream import DownstreamModel
from labram.models.tokenizer import Tokenizer
from labram.signals.electrodes import canonical_name, canonical_names, rows
from labram.training.task_file import TaskFile

RATE = 200
SCALE_UV = 100.0
"""The model's unit (specification 1.1)."""
MAX_PATCHES = 256
PATCHES_AT_ONCE = 8192
Signals = npt.NDArray[np.float32]


class Inference:
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

    def answer(self, signals: npt.ArrayLike, channels: Sequence[str], sfreq: float) -> npt.NDArray[Any]:
        """Answer raw windows.

        Args:
            signals: µV [n, C, samples], at least one second long.
            channels: Names of the C channels, in any usual spelling.
            sfreq: Sampling rate in Hz.

        Returns:
            See `predict`.

        Raises:
            WindowError: If the shape does not fit, a value is not finite, or the window is too short or too long.
            RecipeError: If a channel is no electrode that the model knows; says which is closest.
        """
        windows = np.asarray(signals, dtype=np.float32)
        check(windows, channels, sfreq)
        return self.predict(resample(windows, sfreq), electrodes(channels).names)

    @torch.inference_mode()
    def predict(self, signals: Signals, channels: Sequence[str]) -> npt.NDArray[Any]:
        """Answer windows at 200 Hz with canonical channel names.

        Args:
            signals: µV [n, C, samples]; what exceeds whole seconds is cut off.
            channels: C names.

        Returns:
            Of a task: probability of class 1 [n] (binary), of each class [n, K], or values [n, M] in the targets' unit
            (regression). Of a backbone: embeddings [n, D]. Of a tokenizer: codes [n, patches], channel after channel.
        """
        batches, rows_N = model_input(signals, channels)
        parts = [self._forward(batch, rows_N) for batch in batches]
        return np.asarray(torch.cat(parts).numpy())

    def _forward(self, x_BNAT: Tensor, rows_N: Tensor) -> Tensor:
        if isinstance(self.model, Tokenizer):
            return self.model.encode(x_BNAT, rows_N)
        if self.task is None:
            return self.model.features(x_BNAT, rows_N)
        output: Tensor = self.model(x_BNAT, rows_N).double()  # a float32 sigmoid would tie scores near 1
        kind = self.task.recipe.kind
        if kind == "regression":
            return torch.tensor(self.task.target_mean).double() + output * torch.tensor(self.task.target_sd).double()
        return torch.sigmoid(output[:, 0]) if kind == "binary" else torch.softmax(output, dim=1)


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
        WindowError: If an electrode occurs twice, or none is left.
    """
    known = [name for name in map(canonical_name, labels) if name]
    if len(set(known)) < len(known):
        raise WindowError("a channel occurs twice", field="channels", remedy="Give each electrode once")
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
    seconds = samples // RATE
    if not 1 <= count * seconds <= MAX_PATCHES:
        raise WindowError(
            f"windows of {count} channels x {seconds} s are {count * seconds} patches",
            field="signals",
            remedy=f"Give 1 to {MAX_PATCHES} patches: shorten the windows or leave channels out",
        )
    x_BNAT = torch.from_numpy(np.ascontiguousarray(signals[..., : seconds * RATE], dtype=np.float32))
    x_BNAT = x_BNAT.reshape(n, count, seconds, RATE) / SCALE_UV
    return torch.split(x_BNAT, max(1, PATCHES_AT_ONCE // (count * seconds))), torch.tensor(rows(channels))


def resample(signals: Signals, sfreq: float) -> Signals:
    """Resample to 200 Hz (polyphase, Kaiser window).

    Args:
        signals: [n, C, samples].
        sfreq: Present rate in Hz.
    """
    if sfreq == RATE:
        return signals
    ratio = Fraction(RATE / sfreq).limit_denominator(1000)
    return np.asarray(resample_poly(signals, ratio.numerator, ratio.denominator, axis=-1), dtype=np.float32)


def check(windows: Signals, channels: Sequence[str], sfreq: float) -> None:
    """Refuse signals that cannot be windows of these channels at this rate.

    Raises:
        WindowError: If the shape does not fit, a value is not finite, or the windows are shorter than a second.
    """
    if windows.ndim != 3:
        raise WindowError(
            f"signals have {windows.ndim} dimensions",
            field="signals",
            remedy="Give an array [windows, channels, samples] in µV",
        )
    if windows.shape[1] != len(channels):
        raise WindowError(
            f"{windows.shape[1]} channels of signals, {len(channels)} names",
            field="channels",
            remedy="Name every channel, in the order of the signals, such as channels=['FP1', 'FP2']",
        )
    if not np.isfinite(windows).all():
        raise WindowError("signals hold NaN or infinite values", field="signals", remedy="Leave such windows out")
    if not sfreq > 0 or windows.shape[2] < sfreq:
        raise WindowError(
            f"{windows.shape[2]} samples at {sfreq} Hz are less than a second",
            field="sfreq",
            remedy="Give windows of at least one second, and their rate in Hz",
        )
