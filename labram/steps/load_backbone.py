"""Load backbone: copy or import the existing backbone that a run starts from.

During a run, a champion can move and a file can be replaced. So `plan_run` pins the weights by address and digest, and
this step loads no others.
"""

import shutil
from pathlib import Path

from labram.checksums import hash_file
from labram.errors import WeightsError
from labram.evaluation import leakage
from labram.models import weights
from labram.models.masked import MaskedModel
from labram.models.official import import_checkpoint
from labram.platform.workspace import Workspace
from labram.registry import model_registry, signing
from labram.tracking.mlflow_runs import tracked

KEPT = ("model.safetensors", "config.json", leakage.FILE)
DIGITS = 16


def pin(backbone: str) -> str:
    """Return the current address of a backbone and the digest of its weights, as ``ADDRESS#DIGEST``.

    Args:
        backbone: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``, the folder of a backbone, or the file of a
            published one.

    Raises:
        RegistryError: If the registry does not have it.
        WeightsError: If folder or file do not exist, or the weights are damaged.
    """
    if backbone.startswith("models:/"):
        version = model_registry.find_version(backbone)
        return f"{version.uri}#{version.tags[model_registry.DIGEST_TAG][:DIGITS]}"
    path = Path(backbone)
    if path.is_file():
        return f"{path.absolute()}#{hash_file(path)[:DIGITS]}"
    return f"{path.absolute()}#{weights.digest(path)[:DIGITS]}"


def load_backbone(*, workspace: str, start: str, out: str) -> None:
    """Write the weights of a backbone, and its leakage ledger if it has one.

    Args:
        workspace: The workspace.
        start: Return value of `pin`.
        out: Folder for the backbone.

    Raises:
        WeightsError: See `copy_backbone`.
    """
    with tracked("load_backbone", Workspace.at(workspace).root) as run:
        copy_backbone(start, Path(out))
        run.note(f"starts from {start}")


def copy_backbone(start: str, out: Path) -> None:
    """Write the pinned backbone `start` to a folder.

    Raises:
        WeightsError: If the weights have changed since `pin`, or are not those of a backbone.
    """
    address, _, _ = start.rpartition("#")
    if pin(address) != start:
        raise WeightsError("the weights have changed since the run started", file=address, remedy="Start the run again")
    if Path(address).is_file():
        import_checkpoint(Path(address), kind="backbone", out=out)
    else:
        folder = signing.trusted_folder(address)
        out.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, out / name)
    if not isinstance(weights.load(out), MaskedModel):
        raise WeightsError(
            "the weights are not those of a pre-trained backbone",
            file=address,
            field="backbone",
            remedy=f"Name one, such as models:/{model_registry.BACKBONE}@{model_registry.CHAMPION}",
        )
