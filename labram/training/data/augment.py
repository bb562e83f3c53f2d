"""Augmentation of labelled windows: time shift, polarity, channel gain, noise, absent channels. Not in the paper.

Labels of most EEG tasks depend on spectral power, which is invariant to shift, flip and overall gain. Without
augmentation, small tasks are memorised.
"""

import torch
from torch import Tensor

from labram.input_spec import SAMPLE_RATE_HZ
from labram.recipe import AugmentRecipe

BAND_HZ = 4.0
"""Width of the band of noise in Hz."""


def augment(x_BNAT: Tensor, recipe: AugmentRecipe, random: torch.Generator) -> Tensor:
    """Augment each window independently.

    Args:
        x_BNAT: Windows [B, N, A, 200].
        recipe: Augmentations and their strength.
        random: CPU generator.

    Returns:
        Windows of the same shape.
    """
    windows, channels, seconds, samples = x_BNAT.shape
    x_BNT = x_BNAT.reshape(windows, channels, seconds * samples)
    if recipe.shift:
        starts = torch.randint(seconds * samples, (windows,), generator=random).tolist()
        x_BNT = torch.stack([window.roll(start, dims=-1) for window, start in zip(x_BNT, starts, strict=True)])
    if recipe.flip:
        signs = torch.randint(2, (windows, 1, 1), generator=random) * 2.0 - 1.0
        x_BNT = x_BNT * signs.to(x_BNT.device)
    if recipe.gain_sd:
        gains = torch.randn(windows, channels, 1, generator=random).mul(recipe.gain_sd).exp()
        x_BNT = x_BNT * gains.to(x_BNT.device)
    if recipe.noise:
        noise = torch.randn(x_BNT.shape, generator=random).to(x_BNT.device)
        x_BNT = x_BNT + recipe.noise * x_BNT.std(dim=-1, keepdim=True) * noise
    if recipe.band_noise:
        noise = _band_noise(x_BNT.shape, random).to(x_BNT.device)
        x_BNT = x_BNT + recipe.band_noise * x_BNT.std(dim=-1, keepdim=True) * noise
    if recipe.channel_dropout:
        dropped = torch.rand(windows, channels, 1, generator=random) < recipe.channel_dropout
        dropped &= ~dropped.all(dim=1, keepdim=True)  # no window loses all of its channels
        x_BNT = x_BNT.masked_fill(dropped.to(x_BNT.device), 0.0)
    return x_BNT.reshape(x_BNAT.shape)


def _band_noise(shape: torch.Size, random: torch.Generator) -> Tensor:
    """Return noise [B, N, T] with an SD of 1 in one band for each window, whose lower edge is drawn from 1 to 45 Hz."""
    spectrum_BNF = torch.fft.rfft(torch.randn(shape, generator=random))
    hz_F = torch.fft.rfftfreq(shape[-1], 1 / SAMPLE_RATE_HZ)
    low_B11 = 1.0 + 44.0 * torch.rand(shape[0], 1, 1, generator=random)
    inside = (low_B11 <= hz_F) & (hz_F < low_B11 + BAND_HZ)
    noise_BNT = torch.fft.irfft(spectrum_BNF * inside, n=shape[-1])
    standard: Tensor = noise_BNT / noise_BNT.std(dim=-1, keepdim=True)
    return standard
