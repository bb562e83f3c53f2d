"""Conversion of state dicts between `braindecode.models.Labram` and the published fine-tuning model.

braindecode's class computes the same function with other tensor names. Its window length is fixed at construction: the
temporal table has one row per second, and one more that is never read.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from labram.errors import MisfitWeightsError
from labram.input_spec import MAX_SECONDS, PATCH_SAMPLES
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel
from labram.models.official_layout import LabramModel, to_official

TEMPORAL = "temporal_embedding"
_PRETRAINING_ONLY = ("mask_token", "lm_head.", "projection_head.")
_RENAMED = (
    ("pos_embed", "position_embedding"),
    ("time_embed", TEMPORAL),
    ("head.", "final_layer."),
    ("patch_embed.", "patch_embed.temporal_conv."),
)
_FEED_FORWARD = (("mlp.fc1.", "mlp.0."), ("mlp.fc2.", "mlp.2."))


def is_braindecode(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict is of braindecode's class, which alone has this temporal table."""
    return TEMPORAL in tensors


def to_braindecode(model: LabramModel, *, seconds: int) -> dict[str, Tensor]:
    """Return the state dict of braindecode's class for windows of 1 to 16 seconds.

    A masked model is exported without mask token and code prediction, without a head (`n_outputs=0`), and with its
    LayerNorm, which braindecode applies to the CLS token.

    Raises:
        MisfitWeightsError: If the model is a tokenizer, for which braindecode has no class.
        ValueError: If `seconds` is out of range.
    """
    if not 1 <= seconds <= MAX_SECONDS:
        raise ValueError(f"windows last 1 to {MAX_SECONDS} s, not {seconds}")
    official = _finetuned(model)
    braindecode = {_to(name): tensor for name, tensor in official.items()}
    unread = torch.zeros_like(official["time_embed"][:, :1])
    braindecode[TEMPORAL] = torch.cat([official["time_embed"][:, :seconds], unread], dim=1)
    return braindecode


def from_braindecode(braindecode: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the published state dict, and the tensors that the file does not cover, with the reason.

    The temporal table of a model for shorter windows is padded with zeros.
    """
    official = {_from(name): tensor for name, tensor in braindecode.items()}
    table = official["time_embed"][:, :-1]
    seconds = table.shape[1]
    if seconds >= MAX_SECONDS:
        return official | {"time_embed": table}, {}
    official["time_embed"] = functional.pad(table, (0, 0, 0, MAX_SECONDS - seconds))
    reason = f"braindecode's model is for windows of {seconds} s: rows for longer windows are zero"
    return official, {f"encoder.time_embed[{seconds}:{MAX_SECONDS}]": reason}


def constructor(model: LabramModel, *, seconds: int) -> dict[str, Any]:
    """Return the constructor arguments of braindecode's class for the tensors of `to_braindecode`."""
    if not isinstance(model, MaskedModel | DownstreamModel):
        raise _no_tokenizer()
    config = model.config
    downstream = isinstance(model, DownstreamModel)
    return {
        "n_times": seconds * PATCH_SAMPLES,
        "n_outputs": model.outputs if downstream else 0,
        "n_chans": 128,
        "sfreq": PATCH_SAMPLES,
        "conv_out_channels": config.conv_channels,
        "num_layers": config.depth,
        "num_heads": config.heads,
        "qkv_bias": config.qkv_bias,
        "qk_norm": nn.LayerNorm if config.qk_norm else None,
        "init_values": config.layer_scale,
        "use_mean_pooling": downstream and model.pooling == "mean",
    }


def _finetuned(model: LabramModel) -> dict[str, Tensor]:
    """Return the state dict of the published fine-tuning model."""
    if isinstance(model, DownstreamModel):
        return to_official(model)
    if not isinstance(model, MaskedModel):
        raise _no_tokenizer()
    students = {
        name.removeprefix("student."): tensor
        for name, tensor in to_official(model).items()
        if name.startswith("student.")
    }
    return {name: tensor for name, tensor in students.items() if not name.startswith(_PRETRAINING_ONLY)}


def _no_tokenizer() -> MisfitWeightsError:
    return MisfitWeightsError(
        "braindecode has no class for a tokenizer", remedy="Export it with --layout official, or export the backbone"
    )


def _to(name: str) -> str:
    for ours, theirs in _RENAMED:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return _swap(name, _FEED_FORWARD)


def _from(name: str) -> str:
    for ours, theirs in _RENAMED:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return _swap(name, tuple((theirs, ours) for ours, theirs in _FEED_FORWARD))


def _swap(name: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for before, after in pairs:
        name = re.sub(rf"\.{re.escape(before)}", f".{after}", name)
    return name
