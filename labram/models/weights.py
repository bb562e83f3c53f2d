"""Weights on disk: `model.safetensors` beside a `config.json` that says what they are and vouches for them.

Nothing is loaded in part or in silence: every load either uses every tensor or raises, and where a model starts from
another kind of model, a `LoadReport` accounts for each tensor of both.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from labram.atomic import atomic_path
from labram.errors import DamagedWeightsError, ElectrodeTableError, WeightsError
from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.downstream import DownstreamModel
from labram.models.loading import LoadReport, fill
from labram.models.masked import MaskedModel
from labram.models.official_layout import LabramModel
from labram.models.tokenizer import Tokenizer
from labram.signals.electrodes import CANONICAL

__all__ = ["LoadReport", "backbone_to_downstream", "digest", "load", "save"]

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
FORMAT = 1


def save(model: LabramModel, folder: Path) -> str:
    """Write a model's weights and configuration; returns the digest of the weights.

    Each file is written beside its place and renamed, the configuration last: it vouches for the weights.

    Raises:
        WeightsError: If the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(
            f"the folder cannot be made ({type(error).__name__})",
            file=folder,
            remedy="Name a folder, new or existing, in a place that you may write to",
        ) from error
    weights, config = folder / WEIGHTS, folder / CONFIG
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_path(weights) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(tensors, temporary)
        temporary.chmod(mode)  # safetensors writes files that only their owner may read; containers run as another user
    value = _digest_of(weights)
    with atomic_path(config) as temporary:
        temporary.write_text(json.dumps(_describe(model) | {"digest": value}, indent=2, sort_keys=True) + "\n")
    return value


def load(folder: Path) -> LabramModel:
    """The model that `save` wrote, in evaluation mode on the CPU.

    Raises:
        WeightsError: If a file is absent or damaged, the digest is another, a value is not finite, or a tensor is
            missing, unexpected or of another shape.
    """
    description = _read_config(folder)
    digest(folder)
    model = _build(description, folder / CONFIG)
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise DamagedWeightsError(
            f"not readable as safetensors ({error})", file=folder / WEIGHTS, remedy="Fetch or train the weights again"
        ) from error
    fill(model, tensors, source=folder / WEIGHTS)
    return model.eval()


def digest(folder: Path) -> str:
    """SHA-256 of the weights, checked against the one that the configuration states.

    Raises:
        WeightsError: If a file is absent, or the digests differ.
    """
    stated = _read_config(folder).get("digest")
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise WeightsError("there are no weights", file=weights, remedy="Name a folder that labram wrote")
    found = _digest_of(weights)
    if found != stated:
        raise DamagedWeightsError(
            f"the weights' digest is {found[:12]}, their configuration says {str(stated)[:12]}",
            file=weights,
            remedy="The file is damaged or was replaced: fetch or train it again",
        )
    return found


def backbone_to_downstream(
    masked_folder: Path, outputs: int, *, drop_path: float = 0.0
) -> tuple[DownstreamModel, LoadReport]:
    """A downstream model that starts from a pre-trained backbone; its head and `fc_norm` are new, as published.

    Raises:
        WeightsError: If the folder does not hold a masked model, or anything but head and norms is not carried over.
    """
    masked = load(masked_folder)
    if not isinstance(masked, MaskedModel):
        raise WeightsError(
            f"holds a {_kind(masked)}, not a pre-trained backbone",
            file=masked_folder,
            remedy="Name the folder that pre-training wrote",
        )
    model = DownstreamModel(masked.config, outputs, drop_path=drop_path)
    new = "new for each task: training starts from its initial value"
    excused = dict.fromkeys(("head.weight", "head.bias", "fc_norm.weight", "fc_norm.bias"), new)
    excused |= dict.fromkeys(("lm_head.weight", "lm_head.bias", "mask_token"), "used in pre-training only")
    excused |= dict.fromkeys(
        ("encoder.norm.weight", "encoder.norm.bias"), "as published: mean pooling has its own norm, fc_norm"
    )
    return model, fill(model, masked.state_dict(), source=masked_folder, excused=excused)


def _kind(model: LabramModel) -> str:
    return {Tokenizer: "tokenizer", MaskedModel: "masked", DownstreamModel: "downstream"}[type(model)]


def _describe(model: LabramModel) -> dict[str, Any]:
    description: dict[str, Any] = {"format": FORMAT, "kind": _kind(model), "config": model.config.to_json()}
    description["electrodes"] = list(CANONICAL)
    if isinstance(model, DownstreamModel):
        description |= {"outputs": model.outputs, "pooling": model.pooling}
    return description


def _build(description: Mapping[str, Any], source: Path) -> LabramModel:
    kind = description.get("kind")
    if kind not in ("tokenizer", "masked", "downstream") or description.get("format") != FORMAT:
        raise WeightsError(
            f"describes {kind!r} in format {description.get('format')!r}, not a model of labram in format {FORMAT}",
            file=source,
            remedy="Use the labram version that wrote it",
        )
    if tuple(description.get("electrodes", ())) != CANONICAL:
        raise ElectrodeTableError(
            "the rows of the spatial table stand for other electrodes than labram's, or in another order",
            file=source,
            field="electrodes",
            remedy="Use the labram version that wrote it",
        )
    dimensions = description.get("config", {})
    if kind == "tokenizer":
        return Tokenizer(TokenizerConfig.from_json(dimensions))
    backbone = BackboneConfig.from_json(dimensions)
    if kind == "masked":
        return MaskedModel(backbone)
    return DownstreamModel(backbone, int(description["outputs"]), pooling=description["pooling"])


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG
    try:
        description = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"the configuration cannot be read ({type(error).__name__})",
            file=file,
            remedy="Name a folder that labram wrote",
        ) from error
    if not isinstance(description, dict):
        raise WeightsError("the configuration is not a JSON object", file=file, remedy="Restore the file")
    return description


def _digest_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
