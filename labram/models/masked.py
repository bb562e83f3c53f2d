"""Masked model: prediction of codes with symmetric masking (paper, section 2.3, equations 10 and 11, figure 3)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labram.models.chunked_cross_entropy import chunked_cross_entropy
from labram.models.config import BackboneConfig
from labram.models.encoder import Encoder, check_window
from labram.models.initialisation import NARROW, draw, initialise_encoder
from labram.models.patch_embed import patch_encoder
from labram.models.quantizer import count_codes


@dataclass(frozen=True)
class MaskedOutput:
    """Loss and metrics of one batch, all scalars.

    Attributes:
        loss: Cross-entropy under the mask, plus that under the complementary mask if masking is symmetric.
        accuracy: Share of masked patches whose code is predicted correctly.
        accuracy_symmetric: The same under the complementary mask; NaN without symmetric masking.
        majority: Accuracy of always predicting the most frequent code.
    """

    loss: Tensor
    accuracy: Tensor
    accuracy_symmetric: Tensor
    majority: Tensor


class MaskedModel(nn.Module):
    """LaBraM backbone with a mask token and a head that predicts the codes of masked patches.

    Windows are [B, N, A, 200] in units of 100 µV; `rows` holds the spatial row of each channel, 1 to 128.
    """

    config: BackboneConfig

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder(final_norm=True), patch_encoder(config))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.lm_head = nn.Linear(config.width, config.codes)
        initialise_encoder(self.encoder, NARROW)
        draw(self.mask_token, NARROW)
        draw(self.lm_head.weight, NARROW)

    def forward(self, x_BNAT: Tensor, rows_N: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """Return tokens [B, 1 + L, D] of windows with masked patches (True); `lm_head` maps tokens to logits."""
        patches_BLD = self._patches(x_BNAT, rows_N)
        if mask_BL is not None:
            patches_BLD = self._mask(patches_BLD, mask_BL)
        return self._transform(patches_BLD, rows_N)

    def loss(
        self, x_BNAT: Tensor, rows_N: Tensor, mask_BL: Tensor, codes_BL: Tensor, *, symmetric: bool = True
    ) -> MaskedOutput:
        """Return the cross-entropy between predicted and true codes of the masked patches.

        Args:
            x_BNAT: Windows.
            rows_N: Spatial rows.
            mask_BL: Patches to mask, bool.
            codes_BL: The tokenizer's codes, int64.
            symmetric: Predict under the complementary mask too (equation 11). Both passes run as one batch of twice
                the size, whose patches are embedded once.
        """
        patches_BLD = self._patches(x_BNAT, rows_N)
        masked_BLD = self._mask(patches_BLD, mask_BL)
        if symmetric:
            both = torch.cat([masked_BLD, self._mask(patches_BLD, ~mask_BL)])
            first_BLD, second_BLD = self._transform(both, rows_N)[:, 1:].chunk(2)
            # Every patch is masked in exactly one of the two passes: take its prediction from that pass.
            tokens_MD = torch.where(mask_BL.unsqueeze(-1), first_BLD, second_BLD).flatten(0, 1)
            codes_M, masked_M = codes_BL.flatten(), mask_BL.flatten()
        else:
            tokens_MD = self._transform(masked_BLD, rows_N)[:, 1:][mask_BL]
            codes_M = codes_BL[mask_BL]
            masked_M = torch.ones_like(codes_M, dtype=torch.bool)
        first_M, second_M = _mean_weights(masked_M), _mean_weights(~masked_M)
        loss, hits_M = chunked_cross_entropy(tokens_MD, self.lm_head, codes_M, first_M + second_M)
        other = (hits_M * second_M).sum() if symmetric else loss.new_full((), torch.nan)
        majority = count_codes(codes_BL, self.config.codes).max() / codes_BL.numel()
        return MaskedOutput(loss, (hits_M * first_M).sum(), other, majority)

    def _patches(self, x_BNAT: Tensor, rows_N: Tensor) -> Tensor:
        check_window(x_BNAT, rows_N)
        return self.encoder.patch_embed(x_BNAT)  # type: ignore[no-any-return]

    def _mask(self, patches_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        return torch.where(mask_BL.unsqueeze(-1), self.mask_token.to(patches_BLD.dtype), patches_BLD)

    def _transform(self, patches_BLD: Tensor, rows_N: Tensor) -> Tensor:
        """Apply the transformer; with published compatibility, CLS has the row of the first channel (docs/model.md)."""
        cls_row = rows_N[0] if self.config.compatibility == "published" else None
        return self.encoder(patches_BLD, rows_N, cls_row)  # type: ignore[no-any-return]


def random_mask(batch: int, length: int, ratio: float, generator: torch.Generator | None = None) -> Tensor:
    """Draw patches to mask: in each sample all but `int(length · (1 - ratio))`, uniformly.

    Returns:
        bool [batch, length] on the generator's device.
    """
    keep = int(length * (1 - ratio))
    noise = torch.rand(batch, length, generator=generator, device=generator.device if generator else None)
    return noise.argsort(dim=1).argsort(dim=1) >= keep


def _mean_weights(selected_M: Tensor) -> Tensor:
    """Return weights whose weighted sum over all tokens is the mean over the selected ones."""
    return selected_M / selected_M.sum().clamp_min(1)
