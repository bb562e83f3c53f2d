"""Model input from signals: whole seconds, batches, units of 100 µV and spatial rows."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from labram.errors import WindowError
from labram.input_spec import MAX_PATCHES, SAMPLE_RATE_HZ, to_model_unit
from labram.models.downstream import DownstreamModel
from labram.recipe import WindowPooling
from labram.signals.electrodes import rows

PATCHES_PER_BATCH = 8192
Signals = npt.NDArray[np.float32]


def model_input(signals: Signals, channels: Sequence[str]) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return windows in batches of model input, and the spatial rows of their channels.

    Args:
        signals: µV [n, C, samples] at 200 Hz; samples after the last whole second are ignored.
        channels: C canonical names.

    Returns:
        Batches [B, N, A, 200] in units of 100 µV, and rows [N].

    Raises:
        WindowError: If a window has no patch or more than 256.
    """
    n, count, samples = signals.shape
    seconds = samples // SAMPLE_RATE_HZ
    if not 1 <= count * seconds <= MAX_PATCHES:
        raise WindowError(
            f"expected 1 to {MAX_PATCHES} patches per window, got {count} channels x {seconds} s = {count * seconds}",
            field="signals",
            remedy="Shorten the windows or drop channels",
        )
    scaled = to_model_unit(signals[..., : seconds * SAMPLE_RATE_HZ])
    x_BNAT = torch.from_numpy(scaled.reshape(n, count, seconds, SAMPLE_RATE_HZ))
    return torch.split(x_BNAT, max(1, PATCHES_PER_BATCH // (count * seconds))), torch.tensor(
        rows(channels), device="cpu"
    )


class WindowEmbedder:
    """Embeddings of windows by a frozen model, with one pooling.

    Args:
        model: The model, on any device.
        pooling: See `DownstreamModel.embed`.
    """

    def __init__(self, model: DownstreamModel, pooling: WindowPooling) -> None:
        self.model, self.pooling = model.eval(), pooling

    @torch.inference_mode()
    def __call__(self, signals: Signals, channels: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return embeddings [n, K] of windows in µV at 200 Hz [n, C, samples] with C canonical channel names.

        Raises:
            WindowError: If a window has no patch or more than 256.
        """
        batches, rows_N = model_input(signals, channels)
        device = next(self.model.parameters()).device
        rows_N = rows_N.to(device)
        parts = [self.model.embed(batch.to(device), rows_N, self.pooling).float().cpu() for batch in batches]
        return torch.cat(parts).numpy()
