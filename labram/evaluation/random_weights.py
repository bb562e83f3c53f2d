"""Random weights, drawn several times: twins of a model, to measure what pre-training added."""

from collections.abc import Sequence

import torch

from labram.linear.features import WindowGroup
from labram.models.downstream import DownstreamModel
from labram.training.device import prepare_model

DRAWS = 5
"""Draws of random weights: scores of single draws differ by more than pre-training adds (docs/results.md)."""
MOST_PATCHES = 1_000_000
"""Patches that all draws together embed; of more windows there are fewer draws, at least one."""


def draws(groups: Sequence[WindowGroup], seconds: int) -> int:
    """Return how many draws of random weights are affordable.

    Args:
        groups: Windows to embed.
        seconds: Their length.
    """
    patches = sum(len(group.subjects) * len(group.channels) * seconds for group in groups)
    return max(1, min(DRAWS, MOST_PATCHES // max(patches, 1)))


def untrained(like: DownstreamModel, seed: int) -> DownstreamModel:
    """Return a model of the same dimensions with random weights, on the same device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DownstreamModel(like.config, like.outputs)
    prepare_model(model)
    return model.to(next(like.parameters()).device)
