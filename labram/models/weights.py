"""Model folders: `model.safetensors`, and `config.json` with the kind, dimensions and SHA-256 of the weights.

Loading uses every tensor or raises. If a model starts from another kind of model, a `LoadReport` lists every tensor of
both.
"""

import io
import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from labram.atomic import atomic_path
from labram.checksums import hash_file
from labram.errors import DamagedWeightsError, ElectrodeTableError, WeightsError
from labram.models.config import BackboneConfig, Pooling, TokenizerConfig
from labram.models.downstream import DownstreamModel
from labram.models.loading import LoadReport, fill, standard_defaults
from labram.models.masked import MaskedModel
from labram.models.official_layout import LabramModel
from labram.models.tokenizer import Tokenizer
from labram.signals.electrodes import CANONICAL

__all__ = ["LoadReport", "backbone_to_downstream", "digest", "load", "save"]

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
FORMAT = 1
_MOST_CONFIG_BYTES, _LEAST_VALUE_BYTES = 1 << 20, 2


def save(model: LabramModel, folder: Path) -> str:
    """Write a model's weights and configuration, each atomically, and return the digest of the weights.

    Raises:
        WeightsError: If the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(
            f"the folder cannot be created ({type(error).__name__})",
            file=folder,
            remedy="Choose a writable folder, new or existing",
        ) from error
    weights, config = folder / WEIGHTS, folder / CONFIG
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_path(weights) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(tensors, temporary)
        temporary.chmod(mode)  # safetensors writes files that only their owner may read; containers run as another user
    value = hash_file(weights)
    with atomic_path(config) as temporary:
        temporary.write_text(
            json.dumps(_describe(model) | {"digest": value}, indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )
    return value


@standard_defaults()
def load(folder: Path) -> LabramModel:
    """Load the model that `save` wrote, in evaluation mode on the CPU.

    Raises:
        WeightsError: If a file is absent or damaged, the checksum does not match, a value is not finite, or a tensor is
            missing, unexpected or of a wrong shape.
    """
    description = _read_config(folder)
    digest(folder)
    model = _build(description, folder)
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise DamagedWeightsError(
            f"not readable as safetensors ({error})",
            file=folder / WEIGHTS,
            remedy="Download or train the weights again",
        ) from error
    fill(model, tensors, source=folder / WEIGHTS)
    return model.eval()


def digest(folder: Path) -> str:
    """Return the SHA-256 of the weights after comparing it with the one in the configuration.

    Raises:
        WeightsError: If a file is absent, or the checksums differ.
    """
    expected = _read_config(folder).get("digest")
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise WeightsError("weights not found", file=weights, remedy="Name a model folder of labram")
    actual = hash_file(weights)
    if actual != expected:
        raise DamagedWeightsError(
            f"checksum mismatch: expected {str(expected)[:12]}, got {actual[:12]}",
            file=weights,
            remedy="The file is damaged or was replaced: download or train it again",
        )
    return actual


@standard_defaults()
def backbone_to_downstream(
    masked_folder: Path, outputs: int, *, drop_path: float = 0.0, pooling: Pooling = "mean"
) -> tuple[DownstreamModel, LoadReport]:
    """Return a downstream model with the weights of a pre-trained backbone.

    Head and `fc_norm` are new, as published, and so is what another pooling learns.

    Raises:
        WeightsError: If the folder is not of a masked model, or a tensor other than head and norms does not match.
    """
    masked = load(masked_folder)
    if not isinstance(masked, MaskedModel):
        raise WeightsError(
            f"wrong kind of model: expected a pre-trained backbone, got a {_kind(masked)}",
            file=masked_folder,
            remedy="Name a folder that pre-training wrote",
        )
    model = DownstreamModel(masked.config, outputs, drop_path=drop_path, pooling=pooling)
    new = "new for each task: trained from its initial value"
    excused = dict.fromkeys((name for name in model.state_dict() if not name.startswith("encoder.")), new)
    excused |= dict.fromkeys(("lm_head.weight", "lm_head.bias", "mask_token"), "used in pre-training only")
    excused |= dict.fromkeys(
        ("encoder.norm.weight", "encoder.norm.bias"), "as published: mean pooling uses fc_norm instead"
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


def require_fitting(values: int, file: Path) -> None:
    """Raise if a model has more values than the file of its weights can hold, before the model is built.

    Args:
        values: Lower bound of the number of its values, of at least two bytes each.
        file: File of the weights.

    Raises:
        DamagedWeightsError: If it has.
    """
    if values * _LEAST_VALUE_BYTES > file.stat().st_size:
        raise DamagedWeightsError(
            f"the stated dimensions need at least {values} values, more than the file can hold",
            file=file,
            remedy="Download or train the weights again",
        )


def _build(description: Mapping[str, Any], folder: Path) -> LabramModel:
    source = folder / CONFIG
    kind = description.get("kind")
    if kind not in ("tokenizer", "masked", "downstream") or description.get("format") != FORMAT:
        raise WeightsError(
            f"unknown kind or format: got {kind!r} in format {description.get('format')!r}, expected format {FORMAT}",
            file=source,
            remedy="Use the labram version that wrote it",
        )
    if description.get("electrodes") != list(CANONICAL):
        raise ElectrodeTableError(
            "the spatial table is for other electrodes, or the same electrodes in another order",
            file=source,
            field="electrodes",
            remedy="Use the labram version that wrote it",
        )
    dimensions: Any = description.get("config", {})
    if kind == "tokenizer":
        tokenizer = TokenizerConfig.from_json(dimensions)
        require_fitting(tokenizer.least_values, folder / WEIGHTS)
        return Tokenizer(tokenizer)
    backbone = BackboneConfig.from_json(dimensions)
    if kind == "masked":
        require_fitting(backbone.least_values + backbone.codes * backbone.width, folder / WEIGHTS)
        return MaskedModel(backbone)
    outputs = description.get("outputs")
    pooling: Any = description.get("pooling")
    if type(outputs) is not int or outputs < 1 or pooling not in get_args(Pooling):
        raise WeightsError(
            f"invalid head: {outputs!r} outputs, pooling {pooling!r}",
            file=source,
            field="outputs, pooling",
            remedy="Use the config.json that was written with these weights",
        )
    require_fitting(backbone.least_values + outputs * backbone.width, folder / WEIGHTS)
    return DownstreamModel(backbone, outputs, pooling=pooling)


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG
    try:
        endless = file.exists() and not file.is_file()  # a pipe or a device
        with nullcontext(io.BytesIO()) if endless else file.open("rb") as stream:
            content = stream.read(_MOST_CONFIG_BYTES + 1)
        description = json.loads(content.decode("utf-8") if len(content) <= _MOST_CONFIG_BYTES else "")
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"the configuration cannot be read ({type(error).__name__})",
            file=file,
            remedy="Name a model folder of labram",
        ) from error
    if not isinstance(description, dict):
        raise WeightsError("the configuration is not a JSON object", file=file, remedy="Restore the file")
    return description
