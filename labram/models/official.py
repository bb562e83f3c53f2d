"""Checkpoints of the published code and of braindecode: their weights in, ours out. The one place that reads a pickle.

Reading is restricted to tensors, plain containers and the argument namespace that the published scripts store beside
the weights; a file that asks for anything else is refused unread.
"""

import argparse
import dataclasses
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from labram.errors import (
    CodebookSizeError,
    DamagedWeightsError,
    MisfitWeightsError,
    UnsafeWeightsError,
    WeightsError,
)
from labram.models import weights
from labram.models.braindecode_layout import from_braindecode, is_braindecode, to_braindecode
from labram.models.config import SECONDS, BackboneConfig, TokenizerConfig
from labram.models.downstream import DownstreamModel
from labram.models.loading import LoadReport, fill
from labram.models.masked import MaskedModel
from labram.models.official_layout import UNUSED, LabramModel, from_official, to_official
from labram.models.tokenizer import Tokenizer

Kind = Literal["tokenizer", "backbone"]
Layout = Literal["official", "braindecode"]

_CONTAINERS = ("model", "module", "state_dict")
_WRAPPERS = ("module.", "_orig_mod.")
_IGNORED = ("loss", "teacher", "scaling")
_HEADS = {200: 10, 400: 16, 800: 16}
_UNUSED_REASON = "stored by the published code, read by no computation"
_NO_HEAD_REASON = "the file has no head: it starts from its initial value"


def import_checkpoint(file: Path, *, kind: Kind, out: Path, average: bool = False) -> LoadReport:
    """Turn a published checkpoint into a folder of ours; nothing is written unless every tensor is accounted for.

    A pre-training checkpoint becomes a masked model; a fine-tuning checkpoint, or one of braindecode's class, becomes a
    downstream model, with a new head for one output where it has none. The dimensions come from the shapes.

    Args:
        file: A `.pth` file: the state dict itself, or under `model`, `module` or `state_dict`.
        kind: What the file should hold.
        out: Folder to write.
        average: Take the exponential moving average of the weights (`model_ema`) instead.

    Raises:
        DamagedWeightsError: If the file is truncated or no PyTorch checkpoint.
        UnsafeWeightsError: If it holds more than tensors and arguments.
        MisfitWeightsError: If tensors are missing, surplus or of a wrong shape, such as those of a block.
        CodebookSizeError: If two tensors disagree about the number of codes.
        NonFiniteWeightsError: If a value is NaN or infinite.
    """
    official = _unwrap(_state_dict(read_checkpoint(file), file, average=average))
    excused: dict[str, str] = {}
    if is_braindecode(official):
        official, excused = from_braindecode(official)
    model = _model_for(official, kind, file)
    tensors = from_official(type(model), official, model.state_dict())
    excused |= dict.fromkeys(official.keys() & UNUSED, _UNUSED_REASON)
    if isinstance(model, DownstreamModel) and not any(name.startswith("head.") for name in official):
        excused |= dict.fromkeys(("head.weight", "head.bias"), _NO_HEAD_REASON)
    report = fill(model, tensors, source=file, excused=excused)
    weights.save(model, out)
    return report


def export_checkpoint(folder: Path, file: Path, *, layout: Layout = "official", seconds: int = SECONDS) -> None:
    """Write a folder of ours as a file that the published code, or braindecode's class, loads strictly.

    Args:
        folder: Of a model.
        file: To write: `{"model": state dict}` for the published code, the bare state dict for braindecode.
        layout: Whose.
        seconds: Length of the windows that braindecode's class will be built for; the published code takes any.

    Raises:
        WeightsError: If the folder cannot be used, or braindecode has no class for its model.
    """
    model = weights.load(folder)
    tensors = to_official(model) if layout == "official" else to_braindecode(model, seconds=seconds)
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    fresh = file.with_name(f"{file.name}.partial")
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": tensors} if layout == "official" else tensors, fresh)
    fresh.replace(file)


def read_checkpoint(file: Path) -> Mapping[str, Any]:
    """The contents of a `.pth` file, without running any code that it may hold.

    Raises:
        DamagedWeightsError: If it is absent, truncated or no checkpoint.
        UnsafeWeightsError: If it needs objects beyond tensors, plain containers and `argparse.Namespace`.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not _whole(file):
            raise _damaged(file) from error
        raise UnsafeWeightsError(
            "the checkpoint holds objects other than tensors and arguments, and was not read",
            file=file,
            remedy="Save its state dict alone, in an environment where you trust the file",
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise _damaged(file) from error
    if not isinstance(content, Mapping):
        raise _damaged(file)
    return content


def _whole(file: Path) -> bool:
    """Whether the file is a complete archive, as PyTorch has written since 1.6, or a bare pickle."""
    if zipfile.is_zipfile(file):
        return True
    with file.open("rb") as stream:
        head = stream.read(2)
        stream.seek(-1, 2)
        return head[:1] == b"\x80" and stream.read(1) == b"."


def _damaged(file: Path) -> DamagedWeightsError:
    return DamagedWeightsError(
        "not a whole PyTorch checkpoint", file=file, remedy="Fetch the file again and compare its size"
    )


def _state_dict(content: Mapping[str, Any], file: Path, *, average: bool) -> dict[str, Tensor]:
    if average and "model_ema" not in content:
        raise WeightsError("has no averaged weights", file=file, field="model_ema", remedy="Import it without --ema")
    found: Any = content["model_ema"] if average else next((content[k] for k in _CONTAINERS if k in content), content)
    if not isinstance(found, Mapping):
        raise WeightsError("has no state dict", file=file, remedy="Expected under model, module or state_dict")
    tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError("has no tensors", file=file, remedy="Name a checkpoint of the published code")
    return tensors


def _unwrap(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefixes of distributed and compiled training, and without what the published loader drops."""
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(_IGNORED)}


def _model_for(official: Mapping[str, Tensor], kind: Kind, file: Path) -> LabramModel:
    """An empty model of the kind and dimensions that the shapes show."""
    found = _layout(official, file)
    if (found is Tokenizer) != (kind == "tokenizer"):
        raise MisfitWeightsError(
            f"holds {'a tokenizer' if found is Tokenizer else 'a backbone'}, not a {kind}",
            file=file,
            remedy=f"Import it with --as {'tokenizer' if found is Tokenizer else 'backbone'}",
        )
    try:
        if found is Tokenizer:
            return Tokenizer(_tokenizer_config(official, file))
        if found is MaskedModel:
            return MaskedModel(_backbone_config(official, "student.", file))
        return DownstreamModel(
            _backbone_config(official, "", file),
            len(official.get("head.weight", official["cls_token"])),
            pooling="cls" if "norm.weight" in official else "mean",
        )
    except KeyError as error:
        raise MisfitWeightsError(
            f"the weights lack {error.args[0]}", file=file, remedy="Name a whole checkpoint of the published code"
        ) from error


def _layout(official: Mapping[str, Tensor], file: Path) -> type[nn.Module]:
    if "quantize.embedding.weight" in official:
        return Tokenizer
    if any(name.startswith("student.") for name in official):
        return MaskedModel
    if "cls_token" in official:
        return DownstreamModel
    raise MisfitWeightsError(
        "these are not LaBraM's weights: neither a codebook, nor a student, nor a CLS token",
        file=file,
        remedy="Name a checkpoint of the published code",
    )


def _tokenizer_config(official: Mapping[str, Tensor], file: Path) -> TokenizerConfig:
    codes, code_width = official["quantize.embedding.weight"].shape
    _same_codes(codes, len(official["quantize.cluster_size"]), file)
    shared = _dimensions(official, "encoder.")
    decoder_depth = _depth(official, "decoder.")
    return TokenizerConfig(**shared, codes=codes, code_width=code_width, decoder_depth=decoder_depth)


def _backbone_config(official: Mapping[str, Tensor], prefix: str, file: Path) -> BackboneConfig:
    """Released backbones were trained with the published slip of the CLS row, so they keep it."""
    block = f"{prefix}blocks.0."
    shared = _dimensions(official, prefix)
    if prefix:
        shared["codes"] = len(official["lm_head.weight"])
        _same_codes(shared["codes"], len(official.get("student.lm_head.weight", official["lm_head.weight"])), file)
    config = BackboneConfig(
        **shared,
        qk_norm=f"{block}attn.q_norm.weight" in official,
        qkv_bias=f"{block}attn.q_bias" in official,
        layer_scale=0.1 if f"{block}gamma_1" in official else 0.0,
        compatibility="published" if prefix else "corrected",
    )
    sizes = (BackboneConfig.base(), BackboneConfig.large(), BackboneConfig.huge())
    initial = {(size.width, size.depth): size.layer_scale for size in sizes}
    if config.layer_scale:
        scale = initial.get((config.width, config.depth), config.layer_scale)
        return dataclasses.replace(config, layer_scale=scale)
    return config


def _dimensions(official: Mapping[str, Tensor], prefix: str) -> dict[str, Any]:
    width = official[f"{prefix}cls_token"].shape[-1]
    head_width = official.get(f"{prefix}blocks.0.attn.q_norm.weight")
    return {
        "width": width,
        "conv_channels": len(official[f"{prefix}patch_embed.conv1.weight"]),
        "depth": _depth(official, prefix),
        "heads": width // len(head_width) if head_width is not None else _HEADS.get(width, width // 20),
    }


def _depth(official: Mapping[str, Tensor], prefix: str) -> int:
    """One more than the highest block: a hole among the blocks then shows as missing tensors."""
    blocks = f"{prefix}blocks."
    return 1 + max((int(n.removeprefix(blocks).split(".")[0]) for n in official if n.startswith(blocks)), default=-1)


def _same_codes(one: int, other: int, file: Path) -> None:
    if one != other:
        raise CodebookSizeError(
            f"the codebook has {one} codes in one tensor and {other} in another",
            file=file,
            remedy="The checkpoint mixes two models: fetch the original",
        )
