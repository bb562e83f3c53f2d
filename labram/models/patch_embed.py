"""Patch embeddings: encoders of signals, and a linear map of codes. Shape letters: `config`."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from labram.input_spec import PATCH_SAMPLES, SCALE_UV
from labram.models.config import POSITIONS, BackboneConfig, TokenizerConfig

HIGHEST_HZ = 69
"""Highest frequency of a patch's spectrum: below the pass band's edge at 75 Hz."""
SMALLEST_POWER = 1e-6
"""Floor of a squared amplitude in µV², below amplifier noise, so that the logarithm of a flat patch is finite."""
TYPICAL_POWER, TYPICAL_SLOPE = 1.1, 1.5
"""log10 of the squared amplitude of EEG at 1 Hz, and its fall with log10 of the frequency: centres the features."""
SPECTRUM_GAIN = 2.0
"""SD of the initial map of the spectrum, relative to 1 / sqrt(bins): it outweighs the temporal encoder at first."""


class TemporalEncoder(nn.Module):
    """Three temporal convolutions, each with GroupNorm and GELU (paper, section 2.1, equation 1 and figure 1).

    GroupNorm spans all channels and seconds of a window, as in the published code. A patch's vector therefore depends
    on the whole window, including which channels it has.
    """

    def __init__(self, conv_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, conv_channels, (1, 15), stride=(1, 8), padding=(0, 7))
        self.norm1 = nn.GroupNorm(4, conv_channels)
        self.conv2 = nn.Conv2d(conv_channels, conv_channels, (1, 3), padding=(0, 1))
        self.norm2 = nn.GroupNorm(4, conv_channels)
        self.conv3 = nn.Conv2d(conv_channels, conv_channels, (1, 3), padding=(0, 1))
        self.norm3 = nn.GroupNorm(4, conv_channels)

    def forward(self, x_BNAT: Tensor) -> Tensor:
        """Embed patches: [B, N, A, 200] in units of 100 µV to [B, L, D], features ordered (position, channel)."""
        y = x_BNAT.flatten(1, 2).unsqueeze(1)
        for convolution, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2), (self.conv3, self.norm3)):
            y = functional.gelu(norm(convolution(y)))
        assert y.shape[-1] == POSITIONS
        return y.permute(0, 2, 3, 1).flatten(2)


class TimeFrequencyEncoder(TemporalEncoder):
    """The temporal encoder plus a linear map of each patch's log spectrum, as in CBraMod (Wang et al., ICLR 2025).

    A random or little-trained temporal encoder drowns a line of a few µV in slow activity of larger amplitude; in the
    logarithm of the power of each frequency both count alike (docs/results.md).
    """

    basis: Tensor
    typical: Tensor

    def __init__(self, conv_channels: int) -> None:
        super().__init__(conv_channels)
        self.spectrum = nn.Linear(HIGHEST_HZ, POSITIONS * conv_channels)
        hz_F = torch.arange(1, HIGHEST_HZ + 1, dtype=torch.float64)
        self.register_buffer("basis", _fourier_basis(hz_F), persistent=False)
        self.register_buffer("typical", (TYPICAL_POWER - TYPICAL_SLOPE * hz_F.log10()).float(), persistent=False)

    def forward(self, x_BNAT: Tensor) -> Tensor:
        """Embed patches: [B, N, A, 200] in units of 100 µV to [B, L, D]."""
        embedded_BLD = super().forward(x_BNAT)
        return embedded_BLD + self.spectrum(self.log_power(x_BNAT).to(embedded_BLD.dtype))  # type: ignore[no-any-return]

    def log_power(self, x_BNAT: Tensor) -> Tensor:
        """Return log10 of the squared amplitudes at 1 to 69 Hz, relative to typical EEG [B, L, 69]."""
        with torch.autocast(x_BNAT.device.type, enabled=False):
            cosine_BLF, sine_BLF = (x_BNAT.flatten(1, 2).float() @ self.basis).chunk(2, dim=-1)
            power_BLF = (cosine_BLF.square() + sine_BLF.square()).clamp_min(SMALLEST_POWER)
            return power_BLF.log10() - self.typical

    @torch.no_grad()
    def initialise_spectrum(self) -> None:
        """Draw the map of the spectrum."""
        nn.init.normal_(self.spectrum.weight, std=SPECTRUM_GAIN / math.sqrt(HIGHEST_HZ))
        nn.init.zeros_(self.spectrum.bias)


def patch_encoder(config: TokenizerConfig | BackboneConfig) -> TemporalEncoder:
    """Return the patch embedding of a model's configuration."""
    kind = TimeFrequencyEncoder if config.patch_embedding == "time-frequency" else TemporalEncoder
    return kind(config.conv_channels)


def _fourier_basis(hz_F: Tensor) -> Tensor:
    """Return cosines and sines under a Hann window [200, 2F]; their products with a patch are amplitudes in µV."""
    seconds_T1 = torch.arange(PATCH_SAMPLES, dtype=torch.float64).unsqueeze(1) / PATCH_SAMPLES
    phase_TF = 2 * math.pi * seconds_T1 * hz_F
    window_T1 = (1 - torch.cos(2 * math.pi * seconds_T1)) * 2 / PATCH_SAMPLES
    return (SCALE_UV * window_T1 * torch.cat([phase_TF.cos(), phase_TF.sin()], dim=1)).float()


class CodeEmbedding(nn.Module):
    """Linear map of code vectors to the decoder's width (paper, section 2.2)."""

    def __init__(self, code_width: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(code_width, width, 1)

    def forward(self, codes_BLC: Tensor) -> Tensor:
        """Map [B, L, C] to [B, L, D]; the weights are those of the published 1 x 1 convolution."""
        return functional.linear(codes_BLC, self.proj.weight.flatten(1), self.proj.bias)
