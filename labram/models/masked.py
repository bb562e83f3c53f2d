"""Masked prediction of codes, with symmetric masking (paper, section 2.3, equations 10 and 11, figure 3)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from labram.models.config import BackboneConfig
from labram.models.encoder import Encoder, check_window
from labram.models.initialisation import NARROW, draw, initialise_encoder
from labram.models.patches import TemporalEncoder


@dataclass(frozen=True)
class MaskedOutput:
    """Scalars of one batch.

    Attributes:
        loss: Cross-entropy of the masked half, plus that of the complement when masking is symmetric.
        accuracy: Share of masked patches whose code is predicted.
        accuracy_symmetric: The same under the complementary mask; NaN without symmetric masking.
        majority: Share of the commonest code among the targets, which a constant guess would reach.
    """

    loss: Tensor
    accuracy: Tensor
    accuracy_symmetric: Tensor
    majority: Tensor


class MaskedModel(nn.Module):
    """LaBraM with a mask token and a head that predicts the codes of masked patches.

    Windows are [B, N, A, 200] in units of 100 µV; `rows` holds the spatial row of each channel, 1 to 128.
    """

    config: BackboneConfig

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder(final_norm=True), TemporalEncoder(config.conv_channels))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.lm_head = nn.Linear(config.width, config.codes)
        initialise_encoder(self.encoder, NARROW)
        draw(self.mask_token, NARROW)
        draw(self.lm_head.weight, NARROW)

    def forward(self, x_BNAT: Tensor, rows_N: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """Tokens [B, 1 + L, D] of windows whose masked patches (True) are hidden; `lm_head` makes logits of them."""
        patches_BLD = self._patches(x_BNAT, rows_N)
        if mask_BL is not None:
            patches_BLD = self._hide(patches_BLD, mask_BL)
        return self._transform(patches_BLD, rows_N)

    def loss(
        self, x_BNAT: Tensor, rows_N: Tensor, mask_BL: Tensor, codes_BL: Tensor, *, symmetric: bool = True
    ) -> MaskedOutput:
        """Cross-entropy between predicted and true codes of the masked patches.

        Args:
            x_BNAT: Windows.
            rows_N: Spatial rows.
            mask_BL: Patches to hide, bool.
            codes_BL: The tokenizer's codes, int64.
            symmetric: Predict the other half too, under the complementary mask (equation 11). Both run as one batch
                of twice the size, whose patches are embedded once.
        """
        patches_BLD = self._patches(x_BNAT, rows_N)
        hidden_BLD = self._hide(patches_BLD, mask_BL)
        if symmetric:
            both = torch.cat([hidden_BLD, self._hide(patches_BLD, ~mask_BL)])
            first_BLD, second_BLD = self._transform(both, rows_N)[:, 1:].chunk(2)
            # Every patch is hidden in exactly one of the two passes: its prediction comes from that one.
            chosen_BLD = torch.where(mask_BL.unsqueeze(-1), first_BLD, second_BLD)
        else:
            chosen_BLD = self._transform(hidden_BLD, rows_N)[:, 1:]
        entropy_BL, hit_BL = self._score(chosen_BLD, codes_BL)
        loss, accuracy = _mean(entropy_BL, mask_BL), _mean(hit_BL, mask_BL)
        other = torch.full_like(accuracy, torch.nan)
        if symmetric:
            loss, other = loss + _mean(entropy_BL, ~mask_BL), _mean(hit_BL, ~mask_BL)
        majority = torch.bincount(codes_BL.flatten(), minlength=self.config.codes).max() / codes_BL.numel()
        return MaskedOutput(loss, accuracy, other, majority)

    def _patches(self, x_BNAT: Tensor, rows_N: Tensor) -> Tensor:
        check_window(x_BNAT, rows_N)
        return self.encoder.patch_embed(x_BNAT)  # type: ignore[no-any-return]

    def _hide(self, patches_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        return torch.where(mask_BL.unsqueeze(-1), self.mask_token.to(patches_BLD.dtype), patches_BLD)

    def _transform(self, patches_BLD: Tensor, rows_N: Tensor) -> Tensor:
        """The published pre-training code gives the CLS token the row of the first channel (docs/model.md)."""
        cls_row = rows_N[0] if self.config.compatibility == "published" else None
        return self.encoder(patches_BLD, rows_N, cls_row)  # type: ignore[no-any-return]

    def _score(self, tokens_BLD: Tensor, codes_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy and whether the best guess is right, of each patch: float32 [B, L] both."""
        logits_MK = self.lm_head(tokens_BLD.flatten(0, 1))
        entropy_M = functional.cross_entropy(logits_MK.float(), codes_BL.flatten(), reduction="none")
        hit_M = (logits_MK.detach().argmax(-1) == codes_BL.flatten()).float()
        return entropy_M.view_as(codes_BL), hit_M.view_as(codes_BL)


def random_mask(batch: int, length: int, ratio: float, generator: torch.Generator | None = None) -> Tensor:
    """Patches to hide: in each sample all but `int(length · (1 - ratio))`, drawn uniformly.

    Returns:
        bool [batch, length] on the generator's device.
    """
    keep = int(length * (1 - ratio))
    noise = torch.rand(batch, length, generator=generator, device=generator.device if generator else None)
    return noise.argsort(dim=1).argsort(dim=1) >= keep


def _mean(values_BL: Tensor, where_BL: Tensor) -> Tensor:
    return (values_BL * where_BL).sum() / where_BL.sum().clamp_min(1)
