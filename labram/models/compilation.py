"""Compilation of the transformer blocks by `torch.compile`."""

from typing import TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)
RECOMPILE_LIMIT = 64
"""Graphs per block: with and without gradients, at each precision, in training and evaluation mode."""


def compile_blocks(model: Model, *, dynamic: bool | None = None) -> Model:
    """Compile each transformer block in place; parameters and their names do not change.

    All blocks share one graph, which compiles in seconds rather than minutes for a whole model.

    Args:
        model: Any of LaBraM's models.
        dynamic: Whether one graph serves windows of all sizes; None: from the second size on.
    """
    torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
    for name, module in model.named_modules():
        if name.rpartition(".")[0].endswith("blocks"):
            module.compile(dynamic=dynamic)
    return model
