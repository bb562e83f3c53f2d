"""Neural tokenizer: vector-quantised neural spectrum prediction (paper, section 2.2 and figure 2)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from labram.input_spec import PATCH_SAMPLES
from labram.models.config import TokenizerConfig
from labram.models.encoder import Encoder, check_window
from labram.models.initialisation import WIDE, initialise_encoder, initialise_linear
from labram.models.onednn_linear import OnednnLinear
from labram.models.patch_embed import CodeEmbedding, patch_encoder
from labram.models.quantizer import Quantized, Quantizer
from labram.models.spectrum import spectral_targets


@dataclass(frozen=True)
class TokenizerOutput:
    """Loss of equation 9 with its three terms (scalars), and the codes [B, L]."""

    loss: Tensor
    commitment: Tensor
    amplitude_loss: Tensor
    phase_loss: Tensor
    codes: Tensor


@dataclass(frozen=True)
class Reconstruction:
    """Predicted and true z-scored spectra of all patches, each [B, L, 200]; see `spectral_targets`."""

    amplitude: Tensor
    phase: Tensor
    amplitude_target: Tensor
    phase_target: Tensor


class Tokenizer(nn.Module):
    """Neural tokenizer: encodes patches as codes from which it predicts their amplitude and phase spectra.

    Windows are [B, N, A, 200] in units of 100 µV; `rows` holds the spatial row of each channel, 1 to 128.
    """

    config: TokenizerConfig

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        width, code_width = config.width, config.code_width
        self.encoder = Encoder(config.encoder, patch_encoder(config))
        self.code_head = _head(width, code_width)
        self.quantizer = Quantizer(config.codes, code_width, decay=config.ema_decay, compatibility=config.compatibility)
        self.decoder = Encoder(config.decoder, CodeEmbedding(code_width, width))
        self.amplitude_head = _head(width, PATCH_SAMPLES)
        self.phase_head = _head(width, PATCH_SAMPLES)
        for encoder in (self.encoder, self.decoder):
            initialise_encoder(encoder, WIDE)
        for head in (self.code_head, self.amplitude_head, self.phase_head):
            initialise_linear(head, WIDE)

    def forward(self, x_BNAT: Tensor, rows_N: Tensor) -> TokenizerOutput:
        """Return the loss of the spectrum prediction (equation 9); training mode updates the codebook."""
        quantized = self._quantize(x_BNAT, rows_N)
        amplitude_BLF, phase_BLF = self._decode(quantized.vectors, rows_N)
        amplitude_target, phase_target = spectral_targets(x_BNAT)
        amplitude_loss = functional.mse_loss(amplitude_BLF.float(), amplitude_target)
        phase_loss = functional.mse_loss(phase_BLF.float(), phase_target)
        loss = quantized.commitment + amplitude_loss + phase_loss
        return TokenizerOutput(loss, quantized.commitment, amplitude_loss, phase_loss, quantized.codes)

    @torch.no_grad()
    def encode(self, x_BNAT: Tensor, rows_N: Tensor) -> Tensor:
        """Return the codes of all patches, int64 [B, L], channel-major, without updating the codebook."""
        return self.quantizer.nearest(functional.normalize(self.features(x_BNAT, rows_N), dim=-1))

    @torch.no_grad()
    def reconstruct(self, x_BNAT: Tensor, rows_N: Tensor) -> Reconstruction:
        """Return the spectra predicted from the codes, and the true ones, without updating the codebook."""
        vectors_BLC = self.quantizer.codebook[self.encode(x_BNAT, rows_N)]
        return Reconstruction(*self._decode(vectors_BLC, rows_N), *spectral_targets(x_BNAT))

    def features(self, x_BNAT: Tensor, rows_N: Tensor) -> Tensor:
        """Return the vectors to quantise, float32 [B, L, C], before normalisation."""
        check_window(x_BNAT, rows_N)
        tokens_BSD = self.encoder(self.encoder.patch_embed(x_BNAT), rows_N)
        with torch.autocast(x_BNAT.device.type, enabled=False):
            return self.code_head(tokens_BSD[:, 1:].float())  # type: ignore[no-any-return]

    def _quantize(self, x_BNAT: Tensor, rows_N: Tensor) -> Quantized:
        return self.quantizer(self.features(x_BNAT, rows_N))  # type: ignore[no-any-return]

    def _decode(self, vectors_BLC: Tensor, rows_N: Tensor) -> tuple[Tensor, Tensor]:
        tokens_BLD = self.decoder(self.decoder.patch_embed(vectors_BLC), rows_N)[:, 1:]
        return self.amplitude_head(tokens_BLD), self.phase_head(tokens_BLD)


def _head(width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(OnednnLinear(width, width), nn.Tanh(), OnednnLinear(width, outputs))
