"""Initial values as the published code draws them (they decide how training starts)."""

import math

from torch import Tensor, nn

from labram.models.encoder import Encoder
from labram.models.transformer import Block

STANDARD_DEVIATION = 0.02
WIDE = 2.0
"""Absolute bound of the tokenizer's and the downstream model's normal values: a hundred sigma, so none."""
NARROW = 0.02
"""Absolute bound in the masked model: one sigma, which leaves a standard deviation of 0.0108."""


def draw(parameter: Tensor, bound: float) -> None:
    """Normal values of standard deviation 0.02, truncated at plus and minus `bound`."""
    nn.init.trunc_normal_(parameter, std=STANDARD_DEVIATION, a=-bound, b=bound)


def initialise_linear(module: nn.Module, bound: float) -> None:
    """Draw the weights of all linear layers in `module` and set their biases to 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            draw(layer.weight, bound)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def initialise_encoder(encoder: Encoder, bound: float) -> None:
    """Draw an encoder's tables and weights; what each block adds is scaled down with its depth l by sqrt(2 l).

    Convolutions keep PyTorch's values, except in the masked model, where they are drawn as linear layers are.
    """
    for table in (encoder.cls_token, encoder.pos_embed, encoder.time_embed):
        draw(table, bound)
    initialise_linear(encoder, bound)
    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d) and bound == NARROW:
            draw(layer.weight, bound)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    for depth, block in enumerate(encoder.blocks, start=1):
        assert isinstance(block, Block)
        for weight in (block.attn.proj.weight, block.mlp.fc2.weight):
            weight.data.div_(math.sqrt(2.0 * depth))
