"""Downstream model: pooled features and one linear head (paper, section 2.4 and appendix)."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from labram.models.config import BackboneConfig, Pooling
from labram.models.encoder import Encoder, check_window
from labram.models.initialisation import WIDE, initialise_encoder, initialise_linear
from labram.models.patch_embed import patch_encoder
from labram.models.pooling import pool_of
from labram.models.transformer import NORM_EPS
from labram.recipe import WindowPooling

HEAD_SCALE = 0.001
"""Factor of the head's initial weights: near zero, so that the first steps do not disturb the pre-trained layers."""


class DownstreamModel(nn.Module):
    """LaBraM with a linear head on the mean of its patch tokens, on its CLS token, or on another pooling of them.

    Windows are [B, N, A, 200] in units of 100 µV; `rows` holds the spatial row of each channel, 1 to 128.

    Args:
        config: Dimensions of the backbone.
        outputs: Width of the head: classes, targets, or 1 for a binary task.
        pooling: `mean` averages the patch tokens, then normalises; `cls` normalises the tokens and takes the first.
            The others normalise the patch tokens, then pool them (`labram.models.pooling`).
        drop_path: Stochastic depth of the last block.
    """

    config: BackboneConfig

    def __init__(
        self, config: BackboneConfig, outputs: int, *, pooling: Pooling = "mean", drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.config, self.outputs, self.pooling = config, outputs, pooling
        self.encoder = Encoder(
            config.encoder(final_norm=pooling == "cls"),
            patch_encoder(config),
            drop_path=drop_path,
        )
        self.fc_norm = nn.LayerNorm(config.width, eps=NORM_EPS) if pooling != "cls" else nn.Identity()
        self.pool = pool_of(pooling, config.width)
        self.head = nn.Linear(self.pool.width if self.pool else config.width, outputs)
        initialise_encoder(self.encoder, WIDE)
        initialise_linear(self.head, WIDE)
        with torch.no_grad():
            self.head.weight.mul_(HEAD_SCALE)

    def forward(self, x_BNAT: Tensor, rows_N: Tensor) -> Tensor:
        """Return logits, or standardised targets, [B, outputs]."""
        return self.head(self.features(x_BNAT, rows_N))  # type: ignore[no-any-return]

    def features(self, x_BNAT: Tensor, rows_N: Tensor) -> Tensor:
        """Return one vector per window, [B, D], or what the head reads with another pooling."""
        return self._pooled(self._tokens(x_BNAT, rows_N), rows_N)

    def patch_features(self, x_BNAT: Tensor, rows_N: Tensor) -> Tensor:
        """Return one vector per patch, [B, L, D], channel-major."""
        return self.fc_norm(self._tokens(x_BNAT, rows_N)[:, 1:])  # type: ignore[no-any-return]

    def all_features(self, x_BNAT: Tensor, rows_N: Tensor) -> tuple[Tensor, Tensor]:
        """Return `features` and `patch_features` from one forward pass."""
        tokens_BSD = self._tokens(x_BNAT, rows_N)
        return self._pooled(tokens_BSD, rows_N), self.fc_norm(tokens_BSD[:, 1:])

    def embed(self, x_BNAT: Tensor, rows_N: Tensor, pooling: WindowPooling) -> Tensor:
        """Return one vector per window [B, K] with any pooling of the patch tokens.

        ``mean`` and ``cls`` have K = D values, ``mean+std`` 2D, ``moments`` 3D (mean, SD over channels of the means
        over seconds, mean over channels of the SD over seconds), ``channels`` (means over seconds) ND, ``tokens`` NAD.
        """
        tokens_BSD = self._tokens(x_BNAT, rows_N)
        if pooling == "mean":
            return self.fc_norm(tokens_BSD[:, 1:].mean(1))  # type: ignore[no-any-return]
        if pooling == "cls":
            return self.fc_norm(tokens_BSD[:, 0])  # type: ignore[no-any-return]
        patches_BLD = self.fc_norm(tokens_BSD[:, 1:])
        if pooling == "channels":
            return patches_BLD.unflatten(1, x_BNAT.shape[1:3]).mean(2).flatten(1)  # type: ignore[no-any-return]
        if pooling == "moments":
            patches_BNAD = patches_BLD.unflatten(1, x_BNAT.shape[1:3])
            over_channels_BD = patches_BNAD.mean(2).std(1, correction=0)
            over_seconds_BD = patches_BNAD.std(2, correction=0).mean(1)
            return torch.cat([patches_BLD.mean(1), over_channels_BD, over_seconds_BD], dim=1)
        if pooling == "mean+std":
            return torch.cat([patches_BLD.mean(1), patches_BLD.std(1, correction=0)], dim=1)
        return patches_BLD.flatten(1)  # type: ignore[no-any-return]

    def layer_ids(self) -> dict[str, int]:
        """Return the depth of each parameter for layer-wise learning-rate decay: 0 for the input, largest for the head.

        As published, the temporal table has the head's depth and the spatial table the input's.
        """
        deepest = self.config.depth + 1
        return {name: _layer_id(name, deepest) for name, _ in self.named_parameters()}

    def _pooled(self, tokens_BSD: Tensor, rows_N: Tensor) -> Tensor:
        if self.pool is not None:
            return self.pool(self.fc_norm(tokens_BSD[:, 1:]), rows_N)  # type: ignore[no-any-return]
        pooled_BD = tokens_BSD[:, 1:].mean(1) if self.pooling == "mean" else tokens_BSD[:, 0]
        return self.fc_norm(pooled_BD)  # type: ignore[no-any-return]

    def _tokens(self, x_BNAT: Tensor, rows_N: Tensor) -> Tensor:
        check_window(x_BNAT, rows_N)
        return self.encoder(self.encoder.patch_embed(x_BNAT), rows_N)  # type: ignore[no-any-return]


def prediction(
    output: Tensor, kind: str, target_mean: npt.ArrayLike = (), target_sd: npt.ArrayLike = ()
) -> npt.NDArray[np.float64]:
    """Return the prediction of a task from a downstream model's output.

    Computed in double precision: in float32, probabilities near 1 would be tied and could not be ranked.

    Args:
        output: Output of `DownstreamModel`, [n, outputs].
        kind: ``binary``, ``multiclass`` or ``regression``.
        target_mean: Mean of each regression target over the training windows, in its own unit.
        target_sd: Their standard deviations.

    Returns:
        Probability of class 1 [n] (binary), of each class [n, K] (multiclass), or values [n, M] in the targets' unit
        (regression).
    """
    output = output.double()
    if kind == "regression":
        return np.asarray(output.cpu().numpy() * np.asarray(target_sd) + np.asarray(target_mean))
    probabilities = output[:, 0].sigmoid() if kind == "binary" else output.softmax(dim=1)
    return np.asarray(probabilities.cpu().numpy())


def _layer_id(name: str, deepest: int) -> int:
    part, _, rest = name.removeprefix("encoder.").partition(".")
    if part in ("cls_token", "pos_embed", "patch_embed"):
        return 0
    return int(rest.partition(".")[0]) + 1 if part == "blocks" else deepest
