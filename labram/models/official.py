"""Import and export of checkpoints of the published code and of braindecode.

Unpickling is restricted to tensors, plain containers and the `argparse.Namespace` of the published scripts. A file with
any other object is rejected without running its code.
"""

import argparse
import dataclasses
import math
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from labram.atomic import atomic_path
from labram.errors import (
    CodebookSizeError,
    DamagedWeightsError,
    MisfitWeightsError,
    UnsafeWeightsError,
    WeightsError,
)
from labram.input_spec import MAX_SECONDS
from labram.linear.probe import Probe
from labram.models import weights
from labram.models.braindecode_layout import TEMPORAL, from_braindecode, is_braindecode, to_braindecode
from labram.models.config import PUBLISHED_POOLINGS, BackboneConfig, TokenizerConfig
from labram.models.downstream import DownstreamModel
from labram.models.loading import LoadReport, fill, standard_defaults
from labram.models.masked import MaskedModel
from labram.models.official_layout import UNUSED, LabramModel, from_official, to_official
from labram.models.tokenizer import Tokenizer

Kind = Literal["tokenizer", "backbone"]
Layout = Literal["official", "braindecode"]

_CONTAINERS = ("model", "module", "state_dict")
_OURS = "labram"
_STATED = ("heads", "layer_scale", "compatibility", "codes", "ema_decay")
_AVERAGED = "model_ema"
_WRAPPERS = ("module.", "_orig_mod.")
_IGNORED = ("loss", "teacher", "scaling")
_HEADS = {200: 10, 400: 16, 800: 16}
_UNUSED_REASON = "stored by the published code, read by no computation"
_IGNORED_REASON = "the published loader ignores this prefix"
_NO_TENSOR_REASON = "not a tensor"
_NO_HEAD_REASON = "the file has no head: it starts from zero"
_MOST_RATIO = 2
"""Largest ratio of what a file holds to its size; above 1 for tensors that share their values."""
_NO_CHECKPOINT = (RuntimeError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, struct.error)


@standard_defaults()
def import_checkpoint(file: Path, *, kind: Kind, out: Path, average: bool = False) -> LoadReport:
    """Convert a published checkpoint to a model folder; nothing is written unless every tensor is accounted for.

    A pre-training checkpoint becomes a masked model. A fine-tuning or braindecode checkpoint becomes a downstream
    model, with a zero head of one output if it has none. Dimensions come from the shapes and from the metadata that
    `export_checkpoint` wrote; the report lists assumed dimensions.

    Args:
        file: A `.pth` file: the state dict itself, or under `model`, `module` or `state_dict`.
        kind: Expected kind of model.
        out: Folder to write.
        average: Import the exponential moving average of the weights (`model_ema`) instead.

    Raises:
        DamagedWeightsError: If the file is truncated or no PyTorch checkpoint.
        UnsafeWeightsError: If it contains objects other than tensors and arguments.
        MisfitWeightsError: If tensors are missing, unexpected or of a wrong shape.
        CodebookSizeError: If two tensors differ in the number of codes.
        NonFiniteWeightsError: If a value is NaN, infinite or too large for float32.
        WeightsError: If the folder cannot be written, or the file states impossible dimensions.
    """
    content = read_checkpoint(file)
    state, excused = _state_dict(content, file, average=average)
    official = _unwrap(state)
    ignored = {name for name in official if name.startswith(_IGNORED)}
    excused |= dict.fromkeys(ignored, _IGNORED_REASON)
    official = {name: tensor for name, tensor in official.items() if name not in ignored}
    if is_braindecode(official):
        _size(official, TEMPORAL, 3, file)
        official, unfilled = from_braindecode(official)
        excused |= unfilled
    stated = _stated(content, file)
    model = _model_for(official, kind, file, stated)
    tensors = from_official(type(model), official, model.state_dict())
    excused |= dict.fromkeys(official.keys() & UNUSED, _UNUSED_REASON)
    if isinstance(model, DownstreamModel) and not any(name.startswith("head.") for name in official):
        excused |= dict.fromkeys(("head.weight", "head.bias"), _NO_HEAD_REASON)
        nn.init.zeros_(model.head.weight)
        nn.init.zeros_(model.head.bias)
    report = fill(model, tensors, source=file, excused=excused)
    if "heads" not in stated and not any(name.endswith("blocks.0.attn.q_norm.weight") for name in official):
        heads = f"{model.config.heads}, as published for width {model.config.width}: no tensor shows their number"
        report = dataclasses.replace(report, assumed={"heads": heads})
    weights.save(model, out)
    return report


@standard_defaults()
def export_checkpoint(folder: Path, file: Path, *, layout: Layout = "official", seconds: int = MAX_SECONDS) -> None:
    """Convert a model folder to a file that the published code, or braindecode's class, loads with `strict=True`.

    Args:
        folder: Model folder.
        file: File to write: `{"model": state dict}` for the published code, plus `labram` with the dimensions that no
            shape shows (heads, initial layer scale, compatibility); the bare state dict for braindecode.
        layout: Target code.
        seconds: Window length of braindecode's class; the published code accepts any.

    Raises:
        WeightsError: If the folder cannot be used, the layout has no class for its model, patch embedding or pooling,
            the model predicts with a probe, or the file cannot be written.
    """
    if (folder / Probe.JSON).is_file():
        raise MisfitWeightsError(
            "the model predicts with a probe, which no checkpoint layout has; its own head is untrained",
            file=folder / Probe.JSON,
            remedy="Export the backbone, or fine-tune all weights (adaptation.strategy: full)",
        )
    if file.is_dir():
        raise WeightsError("is a folder, not a file", file=file, remedy="Name the file to write, such as labram.pth")
    model = weights.load(folder)
    if model.config.patch_embedding != "temporal":
        raise MisfitWeightsError(
            f"the model's {model.config.patch_embedding} patch embedding has tensors that no checkpoint layout has",
            file=folder,
            field="patch_embedding",
            remedy="Use the folder as it is, or train with architecture.patch_embedding=temporal",
        )
    if isinstance(model, DownstreamModel) and model.pooling not in PUBLISHED_POOLINGS:
        raise MisfitWeightsError(
            f"the model's head reads a pooling that no checkpoint layout has: {model.pooling}",
            file=folder,
            field="pooling",
            remedy="Use the folder as it is, or fine-tune with adaptation.head=mean",
        )
    tensors = to_official(model) if layout == "official" else to_braindecode(model, seconds=seconds)
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    _write({"model": tensors, _OURS: _statement(model)} if layout == "official" else tensors, file)


def _write(content: Mapping[str, Any], file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as temporary, temporary.open("wb") as stream:
            torch.save(content, stream)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"the file cannot be written ({type(error).__name__})",
            file=file,
            remedy="Choose a writable folder with enough free space",
        ) from error


def read_checkpoint(file: Path) -> Mapping[str, Any]:
    """Read a `.pth` file without running any code in it.

    Raises:
        DamagedWeightsError: If it is absent, truncated or not a checkpoint.
        UnsafeWeightsError: If it contains other objects than tensors, plain containers and `argparse.Namespace`.
    """
    if not file.exists():
        raise DamagedWeightsError("file not found", file=file, remedy="Correct the name of the checkpoint")
    if file.is_dir():
        raise DamagedWeightsError(
            "is a folder, not a PyTorch checkpoint",
            file=file,
            remedy="Name the .pth file; model folders of labram need no import",
        )
    _require_proportionate(file)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not _whole(file):
            raise _damaged(file) from error
        raise UnsafeWeightsError(
            "the checkpoint contains objects other than tensors and arguments, and was not read",
            file=file,
            remedy="If you trust the file, load it elsewhere and save its state dict alone",
        ) from error
    except _NO_CHECKPOINT as error:
        raise _damaged(file) from error
    if not isinstance(content, Mapping):
        raise _damaged(file)
    return content


def _require_proportionate(file: Path) -> None:
    """Raise for a pipe or device, and for an archive that unpacks to more than its size: PyTorch does not compress.

    Raises:
        DamagedWeightsError: If it is one.
    """
    if not file.is_file():
        raise _damaged(file)
    if zipfile.is_zipfile(file):
        try:
            with zipfile.ZipFile(file) as archive:
                size = sum(member.file_size for member in archive.infolist())
        except (zipfile.BadZipFile, *_NO_CHECKPOINT) as error:
            raise _damaged(file) from error
        if size > _MOST_RATIO * file.stat().st_size:
            raise _damaged(file)


def _whole(file: Path) -> bool:
    """Return whether the file is a complete zip archive (PyTorch 1.6 and later) or a complete pickle."""
    if zipfile.is_zipfile(file):
        return True
    with file.open("rb") as stream:
        head = stream.read(2)
        stream.seek(-1, 2)
        return head[:1] == b"\x80" and stream.read(1) == b"."


def _damaged(file: Path) -> DamagedWeightsError:
    return DamagedWeightsError(
        "incomplete, or not a PyTorch checkpoint", file=file, remedy="Download the file again and compare its size"
    )


def _state_dict(content: Mapping[str, Any], file: Path, *, average: bool) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors, and the other entries with the reason for leaving them out."""
    if average and _AVERAGED not in content:
        raise WeightsError("has no averaged weights", file=file, field=_AVERAGED, remedy="Import it without --ema")
    state: Any = content[_AVERAGED] if average else next((content[k] for k in _CONTAINERS if k in content), content)
    if not isinstance(state, Mapping):
        raise WeightsError(
            "no state dict: expected it under model, module or state_dict",
            file=file,
            remedy="Name a checkpoint of the published code",
        )
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    if not tensors and not average and _AVERAGED in content:
        raise WeightsError("has averaged weights only", file=file, field=_AVERAGED, remedy="Import it with --ema")
    if not tensors:
        raise WeightsError("has no tensors", file=file, remedy="Name a checkpoint of the published code")
    unsupported = tuple(sorted(name for name, tensor in tensors.items() if not _plain(tensor)))
    if unsupported:
        raise MisfitWeightsError(
            f"{len(unsupported)} tensors are sparse, nested, quantised or without data (such as {unsupported[0]})",
            file=file,
            remedy="Save them as dense tensors",
            unmatched={"not plain": unsupported},
        )
    if sum(map(_bytes, tensors.values())) > _MOST_RATIO * file.stat().st_size:
        raise DamagedWeightsError(
            "the tensors state more values than the file has",
            file=file,
            remedy="Download the file again, or save its tensors with `contiguous()`",
        )
    return tensors, dict.fromkeys((str(name) for name in state if str(name) not in tensors), _NO_TENSOR_REASON)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not (tensor.is_nested or tensor.is_quantized or tensor.is_meta)


def _unwrap(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the name prefixes of distributed and compiled training, in any order."""
    while wrapper := next((prefix for prefix in _WRAPPERS if all(name.startswith(prefix) for name in tensors)), None):
        tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    return tensors


def _statement(model: LabramModel) -> dict[str, Any]:
    """Return the dimensions that no shape shows, by their names in the configuration."""
    return {name: value for name, value in model.config.to_json().items() if name in _STATED}


def _stated(content: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return the dimensions that `_statement` wrote; empty for files from other programs."""
    stated = content.get(_OURS)
    if not isinstance(stated, Mapping):
        return {}
    for name, value in stated.items():
        number = type(value) in (int, float) and math.isfinite(value) and value >= 0
        count = type(value) is int and value >= 1
        sound = {"heads": count, "codes": count, "layer_scale": number, "ema_decay": number and value <= 1}
        sound["compatibility"] = isinstance(value, str) and value in ("corrected", "published")
        if not sound.get(str(name), False):
            raise WeightsError(
                f"invalid value {value!r}", file=file, field=f"{_OURS}.{name}", remedy="Export the model again"
            )
    return {str(name): value for name, value in stated.items()}


def _model_for(official: Mapping[str, Tensor], kind: Kind, file: Path, stated: Mapping[str, Any]) -> LabramModel:
    """Return a new model of the class and dimensions that the shapes show and the file states."""
    model_class = _model_class(official, file)
    if (model_class is Tokenizer) != (kind == "tokenizer"):
        raise MisfitWeightsError(
            f"holds {'a tokenizer' if model_class is Tokenizer else 'a backbone'}, not a {kind}",
            file=file,
            remedy=f"Import it with --as {'tokenizer' if model_class is Tokenizer else 'backbone'}",
        )
    try:
        if model_class is Tokenizer:
            tokenizer = _tokenizer_config(official, file, stated)
            weights.require_fitting(tokenizer.least_values, file)
            return Tokenizer(tokenizer)
        backbone = _backbone_config(official, "student." if model_class is MaskedModel else "", file, stated)
        weights.require_fitting(backbone.least_values, file)
        if model_class is MaskedModel:
            return MaskedModel(backbone)
        return DownstreamModel(
            backbone,
            _size(official, "head.weight", 2, file)[0] if "head.weight" in official else 1,
            pooling="cls" if "norm.weight" in official else "mean",
        )
    except KeyError as error:
        raise MisfitWeightsError(
            f"missing tensor {error.args[0]}", file=file, remedy="Name a complete checkpoint of the published code"
        ) from error
    except WeightsError as error:
        if error.file:
            raise
        raise MisfitWeightsError(
            f"the weights have impossible dimensions: {error.field} {error.problem}",
            file=file,
            remedy="Name a complete checkpoint of the published code",
        ) from error


def _model_class(official: Mapping[str, Tensor], file: Path) -> type[nn.Module]:
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


def _tokenizer_config(official: Mapping[str, Tensor], file: Path, stated: Mapping[str, Any]) -> TokenizerConfig:
    codes, code_width = _size(official, "quantize.embedding.weight", 2, file)
    _check_equal_codes(codes, _size(official, "quantize.cluster_size", 1, file)[0], file)
    config = TokenizerConfig(
        **_dimensions(official, "encoder.", file),
        codes=codes,
        code_width=code_width,
        decoder_depth=_depth(official, "decoder.", file),
    )
    return dataclasses.replace(config, **_known(stated, TokenizerConfig))


def _backbone_config(
    official: Mapping[str, Tensor], prefix: str, file: Path, stated: Mapping[str, Any]
) -> BackboneConfig:
    """Return the dimensions of a backbone; released ones keep the published error of the CLS row they trained with."""
    block = f"{prefix}blocks.0."
    shared = _dimensions(official, prefix, file)
    if prefix:
        shared["codes"] = _size(official, "lm_head.weight", 2, file)[0]
        for name, dimensions in (("lm_head.bias", 1), ("student.lm_head.weight", 2), ("student.lm_head.bias", 1)):
            if name in official:
                _check_equal_codes(shared["codes"], _size(official, name, dimensions, file)[0], file)
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
        config = dataclasses.replace(config, layer_scale=scale)
    return dataclasses.replace(config, **_known(stated, BackboneConfig))


def _known(stated: Mapping[str, Any], config: type[TokenizerConfig | BackboneConfig]) -> dict[str, Any]:
    return {field.name: stated[field.name] for field in dataclasses.fields(config) if field.name in stated}


def _dimensions(official: Mapping[str, Tensor], prefix: str, file: Path) -> dict[str, Any]:
    width = _size(official, f"{prefix}cls_token", 3, file)[-1]
    normed = f"{prefix}blocks.0.attn.q_norm.weight"
    depth = _depth(official, prefix, file)
    return {
        "width": width,
        "conv_channels": _size(official, f"{prefix}patch_embed.conv1.weight", 4, file)[0],
        "depth": depth,
        "heads": width // _size(official, normed, 1, file)[0] if normed in official else _published_heads(width),
    }


def _published_heads(width: int) -> int:
    return _HEADS.get(width, max(1, width // 20))


def _depth(official: Mapping[str, Tensor], prefix: str, file: Path) -> int:
    """Return the highest block number plus one, so that absent blocks show as missing tensors."""
    blocks = [re.match(rf"{re.escape(prefix)}blocks\.([0-9]{{1,9}})\.", name) for name in official]
    depth = 1 + max((int(block[1]) for block in blocks if block), default=-1)
    if not 1 <= depth <= len(official):
        raise MisfitWeightsError(
            f"the weights have {depth} blocks and {len(official)} tensors" if depth else "the weights have no block",
            file=file,
            field=f"{prefix}blocks",
            remedy="Name a complete checkpoint of the published code",
        )
    return depth


def _size(official: Mapping[str, Tensor], name: str, dimensions: int, file: Path) -> tuple[int, ...]:
    """Return the shape of a tensor that determines dimensions of the model, after checking it."""
    shape = tuple(official[name].shape)
    if len(shape) != dimensions or 0 in shape:
        raise MisfitWeightsError(
            f"wrong shape: expected {dimensions} non-empty dimensions, got {shape}",
            file=file,
            field=name,
            remedy="Name a complete checkpoint of the published code",
        )
    return shape


def _check_equal_codes(first: int, second: int, file: Path) -> None:
    if first != second:
        raise CodebookSizeError(
            f"tensors differ in the number of codes: {first} and {second}",
            file=file,
            remedy="The checkpoint mixes two models: download the original again",
        )
