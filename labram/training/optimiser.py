"""AdamW as LaBraM is trained with it: which parameters decay, how fast each layer learns, and when."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from labram.recipe import OptimiserRecipe

TABLES = ("cls_token", "pos_embed", "time_embed")
"""Not decayed (specification 4.6, 5.4, 6.1); the mask token is."""
EPS = 1e-8
SCALE = "scale"
"""Key of a parameter group: its learning rate relative to the schedule's."""


def decays(name: str, parameter: torch.Tensor) -> bool:
    """Whether weight decay applies: to matrices and convolutions, not to biases, norms and tables."""
    last = name.rpartition(".")[2]
    return parameter.ndim > 1 and last != "bias" and last not in TABLES


def parameter_groups(
    model: nn.Module, weight_decay: float, *, layer_ids: Mapping[str, int] | None = None, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Trainable parameters by weight decay and learning rate, in a fixed order.

    Args:
        model: Its parameters that require a gradient.
        weight_decay: For those that decay.
        layer_ids: Depth of each parameter; a layer k levels below the deepest learns `layer_decay` ** k as fast.
        layer_decay: See above (specification 6.1).
    """
    deepest = max(layer_ids.values()) if layer_ids else 0
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        scale = layer_decay ** (deepest - layer_ids[name]) if layer_ids else 1.0
        decay = weight_decay if decays(name, parameter) else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    return [{"params": members, "weight_decay": decay, SCALE: scale} for (scale, decay), members in groups.items()]


def adamw(groups: list[dict[str, Any]], recipe: OptimiserRecipe) -> torch.optim.AdamW:
    """Fused AdamW. Fused because it is faster, and because it can leave a step out without asking the device."""
    return torch.optim.AdamW(groups, lr=recipe.peak_lr, betas=recipe.betas, eps=EPS, fused=True)


def learning_rate(step: int, *, steps: int, warmup_steps: int, peak: float, floor: float) -> float:
    """Learning rate of a step: linear warm-up to `peak`, then half a cosine towards `floor`.

    As published, the last step of the warm-up has the peak and the floor is approached but not reached (specification
    5.4). Otherwise than published, the warm-up starts at ``peak / warmup_steps`` and not at 0: a step without
    a learning rate only costs time.

    Args:
        step: Counted from 0.
        steps: In all.
        warmup_steps: Of these.
        peak: Highest learning rate.
        floor: Lowest learning rate of the cosine.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return floor + 0.5 * (peak - floor) * (1.0 + math.cos(math.pi * progress))


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the schedule's rate, scaled in each group."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group[SCALE]
