"""Initialisation of weights as in the published code."""

import math

from torch import Tensor, nn

from labram.models.encoder import Encoder
from labram.models.patch_embed import TimeFrequencyEncoder
from labram.models.transformer import Block

STANDARD_DEVIATION = 0.02
WIDE = 2.0
"""Truncation in the tokenizer and the downstream model: 100 standard deviations, so effectively none."""
NARROW = 0.02
"""Truncation in the masked model: one standard deviation, which leaves a standard deviation of 0.0108."""


def draw(parameter: Tensor, bound: float) -> None:
    """Draw from a normal distribution with standard deviation 0.02, truncated at plus and minus `bound`."""
    nn.init.trunc_normal_(parameter, std=STANDARD_DEVIATION, a=-bound, b=bound)


def initialise_linear(module: nn.Module, bound: float) -> None:
    """Draw the weights of all linear layers in `module` and set their biases to 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            draw(layer.weight, bound)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def initialise_encoder(encoder: Encoder, bound: float) -> None:
    """Draw an encoder's tables and weights; output layers of block l are divided by sqrt(2 l).

    Convolutions keep PyTorch's initialisation, except in the masked model, where they are drawn like linear layers.
    """
    for table in (encoder.cls_token, encoder.pos_embed, encoder.time_embed):
        draw(table, bound)
    initialise_linear(encoder, bound)
    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d) and bound == NARROW:
            draw(layer.weight, bound)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, TimeFrequencyEncoder):
            layer.initialise_spectrum()
    for depth, block in enumerate(encoder.blocks, start=1):
        assert isinstance(block, Block)
        for weight in (block.attn.proj.weight, block.mlp.fc2.weight):
            weight.data.div_(math.sqrt(2.0 * depth))
