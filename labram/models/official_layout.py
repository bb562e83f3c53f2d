"""Conversion of state dicts between the published classes and ours.

Ours use the paper's names, call a backbone always `encoder`, and omit the tensors that the published classes allocate
and never use (two heads, two codebook statistics). Import drops those tensors; export writes their initial values.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel
from labram.models.tokenizer import Tokenizer

LabramModel = Tokenizer | MaskedModel | DownstreamModel

UNUSED = frozenset(
    {
        "student.lm_head.weight",
        "student.lm_head.bias",
        "projection_head.0.weight",
        "projection_head.0.bias",
        "quantize.embedding.cluster_size",
        "quantize.embedding.embed_avg",
        "logit_scale",
    }
)
"""Published tensors that no computation reads; `logit_scale` is in the released backbone only."""

_TOKENIZER = {
    "code_head.": "encode_task_layer.",
    "amplitude_head.": "decode_task_layer.",
    "phase_head.": "decode_task_layer_angle.",
    "encoder.norm.": "encoder.fc_norm.",
    "decoder.norm.": "decoder.fc_norm.",
    "quantizer.codebook": "quantize.embedding.weight",
    "quantizer.usage": "quantize.cluster_size",
    "quantizer.initialised": "quantize.embedding.initted",
}
_MASKED = {"encoder.": "student.", "mask_token": "student.mask_token"}
_DOWNSTREAM = {"encoder.": ""}


def official_names(kind: type[nn.Module], ours: Iterable[str]) -> dict[str, str]:
    """Return the published name of each of our names for a model class."""
    prefixes = {Tokenizer: _TOKENIZER, MaskedModel: _MASKED, DownstreamModel: _DOWNSTREAM}[kind]
    return {name: _rename(name, prefixes) for name in ours}


def to_official(model: LabramModel) -> dict[str, Tensor]:
    """Return the published state dict of a model, including the tensors that only the published classes have."""
    ours = model.state_dict()
    names = official_names(type(model), ours)
    official = {names[name]: tensor for name, tensor in ours.items()}
    return official | _unused(model, official)


def from_official(kind: type[nn.Module], official: Mapping[str, Tensor], ours: Iterable[str]) -> dict[str, Tensor]:
    """Return our state dict from the published one, without unused tensors; unknown names are kept."""
    back = {published: name for name, published in official_names(kind, ours).items()}
    return {back.get(name, name): tensor for name, tensor in official.items() if name not in UNUSED}


def _rename(name: str, prefixes: Mapping[str, str]) -> str:
    for prefix, published in prefixes.items():
        if name.startswith(prefix):
            return published + name.removeprefix(prefix)
    return name


def _unused(model: LabramModel, official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if isinstance(model, Tokenizer):
        return {
            "quantize.embedding.cluster_size": torch.zeros_like(official["quantize.cluster_size"]),
            "quantize.embedding.embed_avg": torch.zeros_like(official["quantize.embedding.weight"]),
        }
    if isinstance(model, MaskedModel):
        width = model.config.width
        return {
            "student.lm_head.weight": torch.zeros_like(official["lm_head.weight"]),
            "student.lm_head.bias": torch.zeros_like(official["lm_head.bias"]),
            "projection_head.0.weight": torch.zeros(width, width),
            "projection_head.0.bias": torch.zeros(width),
        }
    return {}
