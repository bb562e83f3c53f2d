"""Fused kernels for the transformer, by PyTorch's compiler."""

from typing import TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)
VARIANTS = 64
"""Variants of a block that may be compiled: with gradients and without, at each precision, in training and after."""


def compile_blocks(model: Model, *, dynamic: bool | None = None) -> Model:
    """Compile each transformer block, in place; parameters, names and files stay what they are.

    All blocks share one graph, which takes seconds where a whole model takes minutes.

    Args:
        model: Any of LaBraM's models.
        dynamic: Whether one graph serves windows of every size; None: from the second size on.
    """
    torch._dynamo.config.recompile_limit = VARIANTS
    for name, module in model.named_modules():
        if name.rpartition(".")[0].endswith("blocks"):
            module.compile(dynamic=dynamic)
    return model
