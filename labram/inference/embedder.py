"""Embeddings of windows by the blocks of a model, with any pooling.

Letters: n windows, C channels, D width, L layers, K values of a pooled vector.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from labram.errors import RecipeError
from labram.inference.signal_checks import Signals
from labram.models.downstream import DownstreamModel
from labram.models.model_input import model_input
from labram.models.transformer import NORM_EPS
from labram.recipe import WindowPooling


def model_depth(model: nn.Module) -> int:
    """Return the number of transformer blocks of a model's encoder."""
    return len(model.encoder.blocks)  # type: ignore[union-attr, arg-type]


def parse_layers(text: str, depth: int) -> tuple[int, ...]:
    """Return the blocks that ``last`` (none: the default), ``all`` or numbers such as ``4,8,12`` name.

    Args:
        text: Value of the option.
        depth: Number of blocks of the model.

    Raises:
        RecipeError: If it is none of these.
    """
    if text == "last":
        return ()
    if text == "all":
        return tuple(range(1, depth + 1))
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise RecipeError(
            f"cannot read layers {text!r}",
            field="layers",
            remedy=f"Pass last, all, or numbers from 1 to {depth}, such as 1,2",
        )
    return tuple(map(int, parts))


class LayerEmbedder:
    """Embeddings of windows after one or several transformer blocks.

    The last block's embedding is that of `DownstreamModel.embed`. Tokens of other blocks are normalised in the same
    way, without learned scale.

    Args:
        model: The model, on any device.
        pooling: See `DownstreamModel.embed`.
        layers: Blocks, from 1 to the model's depth; default: the last.

    Raises:
        RecipeError: If the model does not have these blocks.
    """

    def __init__(self, model: DownstreamModel, pooling: WindowPooling, layers: Sequence[int] = ()) -> None:
        depth = len(model.encoder.blocks)
        self.layers = tuple(layers) or (depth,)
        absent = [layer for layer in self.layers if not 1 <= layer <= depth]
        if absent:
            raise RecipeError(
                f"the model has no layer {absent[0]}",
                field="layers",
                remedy=f"Choose from 1 to {depth}, or all",
            )
        self.model, self.pooling = model.eval(), pooling

    @torch.inference_mode()
    def __call__(self, signals: Signals, channels: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return embeddings [n, L, K] of windows in µV at 200 Hz [n, C, samples] with C canonical channel names.

        Raises:
            WindowError: If a window has no patch or more than 256.
        """
        batches, rows_N = model_input(signals, channels)
        device = next(self.model.parameters()).device
        rows_N = rows_N.to(device)
        return torch.cat([self._embed(batch.to(device), rows_N) for batch in batches]).numpy()

    def _embed(self, x_BNAT: Tensor, rows_N: Tensor) -> Tensor:
        inner: dict[int, Tensor] = {}
        blocks = self.model.encoder.blocks
        hooks = [
            blocks[layer - 1].register_forward_hook(lambda _, __, tokens, layer=layer: inner.update({layer: tokens}))
            for layer in self.layers
            if layer < len(blocks)
        ]
        try:
            last = self.model.embed(x_BNAT, rows_N, self.pooling)
        finally:
            for hook in hooks:
                hook.remove()
        shape = x_BNAT.shape[1:3]
        pooled = [_pool(inner[layer], self.pooling, shape) if layer in inner else last for layer in self.layers]
        return torch.stack([each.float().cpu() for each in pooled], dim=1)


def _pool(tokens_BSD: Tensor, pooling: WindowPooling, shape: torch.Size) -> Tensor:
    """Pool tokens as `DownstreamModel.embed` does, normalised without learned scale."""
    if pooling == "mean":
        return _norm(tokens_BSD[:, 1:].mean(1))
    if pooling == "cls":
        return _norm(tokens_BSD[:, 0])
    patches_BLD = _norm(tokens_BSD[:, 1:])
    if pooling == "channels":
        batch, _, width = patches_BLD.shape
        return patches_BLD.reshape(batch, *shape, width).mean(2).flatten(1)
    if pooling == "moments":
        batch, _, width = patches_BLD.shape
        patches_BNAD = patches_BLD.reshape(batch, *shape, width)
        over_channels_BD = patches_BNAD.mean(2).std(1, correction=0)
        over_seconds_BD = patches_BNAD.std(2, correction=0).mean(1)
        return torch.cat([patches_BLD.mean(1), over_channels_BD, over_seconds_BD], dim=1)
    if pooling == "mean+std":
        return torch.cat([patches_BLD.mean(1), patches_BLD.std(1, correction=0)], dim=1)
    return patches_BLD.flatten(1)


def _norm(values: Tensor) -> Tensor:
    return functional.layer_norm(values, values.shape[-1:], eps=NORM_EPS)
