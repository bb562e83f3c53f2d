"""Augmentation of labelled windows by time shift, polarity flip, channel gain and noise. Not in the published method.

Labels of most EEG tasks depend on spectral power, which is invariant to shift, flip and overall gain. Without
augmentation, small tasks are memorised.
"""

import torch
from torch import Tensor

from labram.recipe import AugmentRecipe


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
    return x_BNT.reshape(x_BNAT.shape)
