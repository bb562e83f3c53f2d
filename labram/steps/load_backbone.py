"""Load backbone: an existing backbone becomes the one that a run starts from.

While a run goes on, a champion can move and a file can be replaced. So `plan_run` writes down which weights are meant,
as an address and a digest, and only those are loaded.
"""

import hashlib
import shutil
from pathlib import Path

from labram.errors import WeightsError
from labram.evaluation import leakage
from labram.models import weights
from labram.models.masked import MaskedModel
from labram.models.official import import_checkpoint
from labram.platform.workspace import Workspace
from labram.registry import model_registry
from labram.tracking.mlflow_runs import tracked

KEPT = ("model.safetensors", "config.json", leakage.FILE)
DIGITS = 16


def settle(backbone: str) -> str:
    """The present address of a backbone and the digest of its weights, as ``ADDRESS#DIGEST``.

    Args:
        backbone: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``, the folder of a backbone, or the file of a
            published one.

    Raises:
        RegistryError: If the registry does not have it.
        WeightsError: If there is no such folder or file, or its weights are damaged.
    """
    if backbone.startswith("models:/"):
        version = model_registry.find_version(backbone)
        return f"{version.uri}#{version.tags[model_registry.DIGEST_TAG][:DIGITS]}"
    path = Path(backbone)
    if path.is_file():
        with path.open("rb") as file:
            return f"{path.absolute()}#{hashlib.file_digest(file, 'sha256').hexdigest()[:DIGITS]}"
    return f"{path.absolute()}#{weights.digest(path)[:DIGITS]}"


def load_backbone(*, workspace: str, start: str, out: str) -> None:
    """Write the weights of a backbone, and its ledger where it has one.

    Args:
        workspace: The workspace, which has the registry.
        start: What `settle` gave.
        out: Folder for the backbone.

    Raises:
        WeightsError: As `bring` does.
    """
    with tracked("load_backbone", Workspace.at(workspace).root) as run:
        bring(start, Path(out))
        run.note(f"starts from {start}")


def bring(start: str, out: Path) -> None:
    """Write the backbone of `start` to a folder.

    Raises:
        WeightsError: If it is no longer the one that was meant, or is no backbone.
    """
    address, _, _ = start.rpartition("#")
    if settle(address) != start:
        raise WeightsError(
            "these are no longer the weights that the run began with", file=address, remedy="Start the run again"
        )
    if Path(address).is_file():
        import_checkpoint(Path(address), kind="backbone", out=out)
    else:
        folder = model_registry.local_folder(address)
        out.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, out / name)
    if not isinstance(weights.load(out), MaskedModel):
        raise WeightsError(
            "this is not a pre-trained backbone",
            file=address,
            field="backbone",
            remedy=f"Name one, such as models:/{model_registry.BACKBONE}@{model_registry.CHAMPION}",
        )
