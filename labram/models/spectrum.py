"""Targets of the tokenizer: the Fourier spectrum of each patch (paper, section 2.2, equations 7 and 8)."""

import torch
from torch import Tensor

SMALLEST_DEVIATION = 1e-8
"""Lower bound of the divisor of the z-score, because the spectrum of a constant window has no spread."""


def spectral_targets(x_BNAT: Tensor) -> tuple[Tensor, Tensor]:
    """Return amplitude and phase of all patches, z-scored over the window with the unbiased standard deviation.

    All 200 bins of the discrete Fourier transform are targets, as in the published code. The upper half mirrors the
    lower one, so only 101 bins are computed. The transform is in float64: in float32 the phase of a weak bin depends on
    the processor's FFT, by more than the published targets' own rounding.

    Args:
        x_BNAT: Windows [B, N, A, 200] in units of 100 µV.

    Returns:
        Amplitude and phase, each [B, L, 200], float32.
    """
    with torch.autocast(x_BNAT.device.type, enabled=False):
        spectrum = torch.fft.rfft(x_BNAT.double().flatten(1, 2))
        amplitude, phase = spectrum.abs().float(), spectrum.angle().float()
        inner = slice(1, (x_BNAT.shape[-1] + 1) // 2)
        amplitude = torch.cat([amplitude, amplitude[..., inner].flip(-1)], dim=-1)
        phase = torch.cat([phase, -phase[..., inner].flip(-1)], dim=-1)
        return _z_score(amplitude), _z_score(phase)


def _z_score(values_BLF: Tensor) -> Tensor:
    deviation, mean = torch.std_mean(values_BLF, dim=(1, 2), keepdim=True)
    return (values_BLF - mean) / deviation.clamp_min(SMALLEST_DEVIATION)
