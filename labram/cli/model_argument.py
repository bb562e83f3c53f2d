"""The argument MODEL of commands: a registered model by URI or name, or a folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from labram.inference.served import Served

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="models:/labram-workload@champion, models:/NAME/VERSION, the name of a registered model (its champion), "
        "or a folder.",
    ),
]
DeviceOption = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N. Default: LABRAM_DEVICE, else auto.")]


def resolve(model: str, workspace: Path | None = None, public_key: Path | None = None) -> "tuple[Served, Path]":
    """Return a version as answers name it, and its local folder.

    Args:
        model: Value of the argument.
        workspace: Workspace whose registry is asked; None: the one that is configured. A folder needs none.
        public_key: Public key that must have signed a registered version; None: that of LABRAM_PUBLIC_KEY, if set.

    Raises:
        RegistryError: If the model does not exist, or its files cannot be downloaded.
        SignatureError: See `labram.registry.signing.verify`.
    """
    from labram.git import UNKNOWN
    from labram.inference.served import Served
    from labram.platform.registry_connection import connect
    from labram.registry import model_registry, signing

    if not model.startswith("models:/") and not Path(model).is_dir() and "/" not in model:
        model = f"models:/{model}@{model_registry.CHAMPION}"
    if model.startswith("models:/"):
        if workspace is not None:
            connect(workspace)
        version = model_registry.find_version(model)
        served = Served(version.name, version.version, version.tags.get("git_commit", UNKNOWN))
        return served, signing.trusted_folder(version.uri, public_key)
    folder = model_registry.local_folder(model)
    return Served(folder.resolve().name, model_registry.weights_digest(folder), UNKNOWN), folder


def folder_of(model: str, workspace: Path) -> Path:
    """Return the local folder of ``models:/...``; any other text is the path of a folder.

    Raises:
        RegistryError: If the model does not exist, or its files cannot be downloaded.
    """
    return resolve(model, workspace)[1] if model.startswith("models:/") else Path(model)
