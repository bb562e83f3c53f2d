"""The end of a run: its report and its result are written to the run's folder, and its MLflow run is closed."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labram.atomic import atomic_path
from labram.platform.local_runs import RESULT
from labram.platform.workspace import Workspace
from labram.recipe import RUN_FILE, Recipe
from labram.tracking import mlflow_runs, run_pages, run_summary

REPORT_FILE = "report.html"


def close_run(
    run: mlflow_runs.TrackedStep, layout: Workspace, parent: str, page: Path, result: Mapping[str, Any], recipe: Recipe
) -> None:
    """Write recipe, report and result to the run's folder, the result last, and close the run in MLflow.

    Args:
        run: MLflow run of the step.
        layout: The workspace.
        parent: Id of the pipeline run's MLflow run.
        page: The HTML file.
        result: Contents of `result.json`; `run` names the folder, `outcome` becomes a tag.
        recipe: The resolved recipe, which the report's commands name. `labram run` has written it before.
    """
    folder = layout.run(result["run"])
    folder.mkdir(parents=True, exist_ok=True)
    recipe.write(folder / RUN_FILE)
    shutil.copyfile(page, folder / REPORT_FILE)
    run.log_artifacts(folder, REPORT_FILE, RUN_FILE)
    run_summary.summarise(
        parent, result, recipe=recipe.name, description=recipe.description, report=folder / REPORT_FILE
    )
    result = {**result, "mlflow": {"run": parent, "experiment": run_pages.experiment_of(parent)}}
    with atomic_path(folder / RESULT) as temporary:
        temporary.write_text(json.dumps(result, indent=1), encoding="utf-8")
    gates = (f"{gate['model']}: {gate['name']}: {gate['detail']}" for gate in result.get("failed_gates", ()))
    mlflow_runs.close_parent_run(parent, result["outcome"], "; ".join(gates))
