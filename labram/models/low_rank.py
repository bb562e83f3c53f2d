"""Low-rank updates of frozen linear layers (LoRA: Hu et al., ICLR 2022), which are merged into them after training.

Shape letters: I inputs, O outputs, R rank.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from labram.models.downstream import DownstreamModel

SCALE = 2.0
"""Factor of the update: alpha = 2 R in the paper's notation."""


class LowRankUpdate(nn.Module):
    """W + SCALE · B A, with B = 0 at first."""

    def __init__(self, outputs: int, inputs: int, rank: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(rank, inputs) / math.sqrt(inputs))
        self.b = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, weight_OI: Tensor) -> Tensor:
        """Return the updated weights [O, I]."""
        return weight_OI + SCALE * (self.b @ self.a)


def add_low_rank_updates(model: DownstreamModel, rank: int) -> int:
    """Freeze the encoder, and add an update to each linear layer of its transformer blocks.

    Args:
        model: The model, in place. What is not its encoder stays trainable.
        rank: R, less than the width.

    Returns:
        Number of values of the updates: R (I + O) of each layer.
    """
    for parameter in model.encoder.parameters():
        parameter.requires_grad = False
    layers = [layer for layer in model.encoder.blocks.modules() if isinstance(layer, nn.Linear)]
    for layer in layers:
        parametrize.register_parametrization(
            layer, "weight", LowRankUpdate(layer.out_features, layer.in_features, rank)
        )
    return sum(rank * (layer.in_features + layer.out_features) for layer in layers)


def merge_low_rank_updates(model: DownstreamModel) -> None:
    """Add the updates to the weights, in place: the model is then a plain one. Its weights can be trained again."""
    for layer in list(model.encoder.blocks.modules()):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    for parameter in model.parameters():
        parameter.requires_grad = True
