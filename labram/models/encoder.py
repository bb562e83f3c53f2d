"""Transformer encoder that all LaBraM models share (paper, section 2.1). Shape letters: `config`."""

import torch
from torch import Tensor, nn

from labram.errors import WindowError
from labram.input_spec import MAX_SECONDS, PATCH_SAMPLES
from labram.models.config import ROWS, EncoderConfig
from labram.models.transformer import NORM_EPS, Block


class Encoder(nn.Module):
    """Patch embedding, spatial and temporal embeddings (equation 2), transformer blocks.

    Args:
        config: Dimensions and flags.
        patch_embed: Embeds patches, or codes, as vectors [B, L, D].
        drop_path: Stochastic depth of the last block; it grows linearly from 0 in the first block.
    """

    def __init__(self, config: EncoderConfig, patch_embed: nn.Module, *, drop_path: float = 0.0) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, ROWS, config.width))
        self.time_embed = nn.Parameter(torch.zeros(1, MAX_SECONDS, config.width))
        self.patch_embed = patch_embed
        rates = [drop_path * index / max(1, config.depth - 1) for index in range(config.depth)]
        self.blocks = nn.ModuleList(Block(config, rate) for rate in rates)
        self.norm = nn.LayerNorm(config.width, eps=NORM_EPS) if config.final_norm else nn.Identity()

    def forward(self, patches_BLD: Tensor, rows_N: Tensor, cls_row: Tensor | None = None) -> Tensor:
        """Return the tokens after the last block, the CLS token first.

        Args:
            patches_BLD: Embedded patches, channel-major: patch n·A + a is second a of channel n.
            rows_N: Row of each channel in the spatial table, 1 to 128.
            cls_row: Spatial row of the CLS token; 0 unless the published code's error is reproduced (docs/model.md).

        Returns:
            Tokens [B, 1 + L, D].
        """
        channels, width = len(rows_N), patches_BLD.shape[-1]
        seconds = patches_BLD.shape[1] // channels
        rows_table = self.pos_embed[0]
        where_LD = rows_table[rows_N].unsqueeze(1) + self.time_embed[0, :seconds]
        cls_D = self.cls_token[0, 0] + (rows_table[0] if cls_row is None else rows_table[cls_row])
        patches_BLD = patches_BLD + where_LD.reshape(1, -1, width)
        tokens_BSD = torch.cat([cls_D.expand(len(patches_BLD), 1, width).to(patches_BLD.dtype), patches_BLD], dim=1)
        for block in self.blocks:
            tokens_BSD = block(tokens_BSD)
        return self.norm(tokens_BSD)  # type: ignore[no-any-return]


def check_window(x_BNAT: Tensor, rows_N: Tensor) -> None:
    """Check that windows and spatial rows fit the embedding tables.

    The values of `rows_N` are checked on the CPU only; on a GPU, reading them would synchronise every step.

    Raises:
        WindowError: If the shape is not [B, N, A, 200], A exceeds 16, or the rows do not match the channels.
    """
    if x_BNAT.ndim != 4 or x_BNAT.shape[-1] != PATCH_SAMPLES:
        raise WindowError(
            f"wrong shape of windows: expected [batch, channels, seconds, {PATCH_SAMPLES}], got {list(x_BNAT.shape)}",
            remedy=f"Resample to {PATCH_SAMPLES} Hz and cut into patches of one second",
        )
    if x_BNAT.shape[2] > MAX_SECONDS:
        raise WindowError(
            f"windows are too long: expected at most {MAX_SECONDS} s, got {x_BNAT.shape[2]} s",
            remedy=f"Cut the recording into windows of at most {MAX_SECONDS} s",
        )
    if rows_N.ndim != 1 or len(rows_N) != x_BNAT.shape[1]:
        raise WindowError(
            f"spatial rows do not match the channels: expected shape [{x_BNAT.shape[1]}], got {list(rows_N.shape)}",
            remedy="Pass one row of the spatial table for each channel",
        )
    if not torch.compiler.is_compiling() and rows_N.device.type == "cpu":
        invalid = [row for row in rows_N.tolist() if not 1 <= row < ROWS]
        if invalid:
            raise WindowError(
                f"unknown rows of the spatial table: expected 1 to {ROWS - 1}, got {invalid}",
                remedy="Use only electrodes of labram.signals.electrodes.CANONICAL",
            )
