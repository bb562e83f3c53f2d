"""AdamW, its parameter groups (weight decay, layer-wise learning-rate decay) and its learning-rate schedule."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from labram.recipe import OptimiserRecipe

UNDECAYED = ("cls_token", "pos_embed", "time_embed")
"""Parameters without weight decay as published; the mask token has it."""
EPS = 1e-8
LR_SCALE = "scale"
"""Key of a parameter group: its learning rate divided by the schedule's."""


def has_weight_decay(name: str, parameter: torch.Tensor) -> bool:
    """Return whether weight decay applies: to matrices and convolutions, not to biases, norms and embeddings."""
    last = name.rpartition(".")[2]
    return parameter.ndim > 1 and last != "bias" and last not in UNDECAYED


def parameter_groups(
    model: nn.Module,
    weight_decay: float,
    *,
    layer_ids: Mapping[str, int] | None = None,
    layer_decay: float = 1.0,
    encoder_rate: float = 1.0,
) -> list[dict[str, Any]]:
    """Group trainable parameters by weight decay and learning rate, in a fixed order.

    Args:
        model: Model; parameters without gradient are left out.
        weight_decay: Weight decay of the parameters that have one.
        layer_ids: Layer of each parameter, counted from the input.
        layer_decay: Factor of the learning rate per layer below the last, as published (BEiT's layer-wise decay).
        encoder_rate: Factor of the learning rate of all layers of the encoder.
    """
    deepest = max(layer_ids.values()) if layer_ids else 0
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        scale = layer_decay ** (deepest - layer_ids[name]) if layer_ids else 1.0
        scale *= encoder_rate if name.startswith("encoder.") else 1.0
        decay = weight_decay if has_weight_decay(name, parameter) else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    return [{"params": members, "weight_decay": decay, LR_SCALE: scale} for (scale, decay), members in groups.items()]


def adamw(groups: list[dict[str, Any]], recipe: OptimiserRecipe) -> torch.optim.AdamW:
    """Return fused AdamW, which is faster and can skip a step without synchronising the device."""
    return torch.optim.AdamW(groups, lr=recipe.peak_lr, betas=recipe.betas, eps=EPS, fused=True)


def learning_rate(step: int, *, steps: int, warmup_steps: int, peak: float, floor: float) -> float:
    """Return the learning rate of a step: linear warm-up to `peak`, then cosine decay to `floor`.

    As published, the last warm-up step has the peak, and the floor is approached but not reached.
    Unlike published, the warm-up starts at ``peak / warmup_steps``, because a step with learning rate 0 has no effect.

    Args:
        step: Counted from 0.
        steps: Total number of steps.
        warmup_steps: Number of warm-up steps.
        peak: Highest learning rate.
        floor: Lowest learning rate of the cosine.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return floor + 0.5 * (peak - floor) * (1.0 + math.cos(math.pi * progress))


def set_learning_rate(optimiser: torch.optim.Optimizer, value: float) -> None:
    """Set the schedule's learning rate, scaled by the factor of each group."""
    for group in optimiser.param_groups:
        group["lr"] = value * group[LR_SCALE]
