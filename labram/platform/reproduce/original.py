"""The original of a reproduction: what its run recorded, and copies of its artifacts."""

import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from labram.corpus.pseudonyms import KEY_FILE
from labram.errors import RegistryError
from labram.evaluation.predictions import PREDICTIONS_FILE
from labram.evaluation.record import EVALUATION_FILE
from labram.recipe import MODEL_FILE, RUN_FILE
from labram.registry import model_registry, predictions
from labram.registry.model_registry import PREFIX, ModelVersion
from labram.tracking import lineage
from labram.tracking.run_list import PipelineRun, find_run, list_runs

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
COMMANDS = {"retrain": "run", "pretrain_only": "run", "adapt": "adapt"}
"""Commands by pipeline; a study registers nothing that could be compared."""


@dataclass(frozen=True)
class Original:
    """A finished run that registered models.

    Attributes:
        run: The run, with its tags.
        versions: Versions that it registered.
        recipe: Its resolved recipe, in the schema of its commit.
        diff: Uncommitted changes of its source as a patch; "" if there were none.
        subject_key: Its subject key; None if it is not known here.
    """

    run: PipelineRun
    versions: tuple[ModelVersion, ...]
    recipe: dict[str, Any]
    diff: str = ""
    subject_key: str | None = field(default=None, repr=False)

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the run and of its versions, which have more."""
        return dict(self.run.tags) | (dict(self.versions[0].tags) if self.versions else {})

    @property
    def commit(self) -> str:
        """Commit of the source; "" if it is not known."""
        commit = self.tags.get("git_commit", "")
        return commit if _COMMIT.fullmatch(commit) else ""

    @property
    def command(self) -> str:
        """The command of `labram` that repeats it; "" if there is none."""
        return COMMANDS.get(self.tags.get("pipeline", "retrain"), "")

    @property
    def backbone(self) -> str:
        """Address of the existing backbone that it started from; "" if it trained its own."""
        return self.run.tags.get("backbone", "").rpartition("#")[0]


def find_original(source: str, workspace: Path, *, recipe: str = "") -> Original:
    """Return the original that a name, an MLflow run id, a registered model or a commit means.

    Args:
        source: Run, ``models:/…``, or a commit (at least 7 digits), whose newest finished run with `recipe` is meant.
        workspace: The original's workspace, whose subject key is read if it is there.
        recipe: Name of a recipe.

    Raises:
        RegistryError: If there is no such run, or nothing is left of it to compare with.
    """
    run = _find(source, recipe)
    versions = tuple(version for version in model_registry.list_versions() if version.run_id == run.run_id)
    if not versions:
        raise RegistryError(
            f"run {run.name} registered no model that could be compared",
            field="SOURCE",
            remedy="Name a run whose models are registered; `labram runs list` shows them all",
        )
    key = workspace / KEY_FILE
    return Original(
        run,
        versions,
        _recipe(versions[0]),
        diff=_text_artifact(run.run_id, lineage.DIFF_FILE),
        subject_key=key.read_text(encoding="utf-8").strip() if key.is_file() else None,
    )


def copy_artifacts(original: Original, folder: Path) -> dict[str, Path]:
    """Copy the files of all versions, and their predictions; return the folder of each model."""
    copied = {}
    for version in original.versions:
        target = folder / version.name
        shutil.copytree(model_registry.local_folder(version.uri), target, dirs_exist_ok=True)
        task = version.name.removeprefix(PREFIX)
        if (target / EVALUATION_FILE).is_file():
            with suppress(RegistryError):  # a release that kept none
                predictions.download(version.run_id, task, target / PREDICTIONS_FILE)
        copied[version.name] = target
    return copied


def _find(source: str, recipe: str) -> PipelineRun:
    if source.startswith("models:/"):
        version = model_registry.find_model(source)
        if not version.run_id:
            raise RegistryError(f"{version.uri} names no run", field="SOURCE", remedy="Name the run itself")
        return find_run(version.run_id)
    commits = [
        run
        for run in list_runs()
        if len(source) >= 7
        and run.tags.get("git_commit", "").startswith(source)
        and run.tags.get("pipeline") in COMMANDS
        and recipe in ("", run.tags.get("recipe"))
        and run.status == "FINISHED"
    ]
    return commits[0] if commits else find_run(source)


def _recipe(version: ModelVersion) -> dict[str, Any]:
    file = model_registry.local_folder(version.uri) / MODEL_FILE
    if not file.is_file():
        raise RegistryError(f"{version.uri} has no recipe", file=RUN_FILE, remedy="Name a run of this program")
    return dict(yaml.safe_load(file.read_text(encoding="utf-8")))


def _text_artifact(run_id: str, name: str) -> str:
    """Return a text artifact of a run; "" if it has none."""
    import tempfile

    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as temporary:
        try:
            path = Path(model_registry.client().download_artifacts(run_id, name, dst_path=temporary))
        except (MlflowException, OSError):
            return ""
        return path.read_text(encoding="utf-8", errors="surrogateescape")
