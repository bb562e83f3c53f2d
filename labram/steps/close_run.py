"""What the last step of every run does: its page and its result become those of the run."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labram.atomic import atomic_path
from labram.platform.local_runs import RESULT
from labram.platform.workspace import Workspace
from labram.tracking import mlflow_runs

PAGE = "report.html"


def close_run(
    run: mlflow_runs.TrackedStep, place: Workspace, parent: str, page: Path, result: Mapping[str, Any]
) -> None:
    """Write page and result into the run's folder, the result last, and close the run in MLflow.

    Args:
        run: The step.
        place: The workspace.
        parent: MLflow's id of the run.
        page: The HTML file.
        result: What whoever started the run is told; its `run` names the folder, its `outcome` becomes a tag.
    """
    folder = place.run(result["run"])
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(page, folder / PAGE)
    run.log_artifacts(folder, PAGE, "recipe.yaml")
    with atomic_path(folder / RESULT) as temporary:
        temporary.write_text(json.dumps(result, indent=1))
    mlflow_runs.close_parent_run(parent, result["outcome"])
