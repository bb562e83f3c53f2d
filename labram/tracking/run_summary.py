"""What the table of runs in MLflow shows of a pipeline run: headline scores, gates and a description.

The parent run has them as metrics, tags and note, so that settings and scores of runs are compared in one table.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labram.tracking import kfp_summary

SIDES = {"model": "", "baseline": "_baseline", "random": "_random_weights", "labram": "_labram_alone"}
"""Scores of a task in `result.json`, and the suffixes of their metrics."""
GATE_TAG = "gate."
NOTE_TAG = "mlflow.note.content"


def metrics_of(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the headline metrics of a run.

    Args:
        result: Contents of `result.json`.

    Returns:
        ``TASK/METRIC`` with ``_low`` and ``_high`` of its interval, the same metric of the others (`SIDES`), and
        ``TASK/gates_passed`` (0 or 1). Of a study, ``TASK/METRIC/VARIANT``. Undefined values are left out.
    """
    values: dict[str, float | None] = {}
    for row in result.get("tasks", ()):
        name = f"{row['task']}/{row['metric']}"
        for side, suffix in SIDES.items():
            values[f"{name}{suffix}"] = (row.get(side) or {}).get("value")
        values |= {f"{name}_{bound}": row["model"].get(bound) for bound in ("low", "high")}
        values[f"{row['task']}/gates_passed"] = float(row["gate"] != "failed")
    for row in result.get("study", ()):
        values[f"{row['task']}/{row['metric']}/{row['variant']}"] = row["score"].get("value")
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


def tags_of(result: Mapping[str, Any]) -> dict[str, str]:
    """Return the gate outcome of each task, and the gates that failed."""
    failed: dict[str, list[str]] = {}
    for gate in result.get("failed_gates", ()):
        failed.setdefault(gate["model"], []).append(gate["name"])
    return {
        f"{GATE_TAG}{row['task']}": "failed: " + ", ".join(failed[row["registered"]])
        if failed.get(row["registered"])
        else row["gate"]
        for row in result.get("tasks", ())
    }


def describe(result: Mapping[str, Any], recipe: str, description: str) -> str:
    """Return the description of a run in Markdown: recipe, outcome, and a table of scores.

    Args:
        result: Contents of `result.json`.
        recipe: Name of the recipe.
        description: Its description.
    """
    lines = [f"Recipe **{recipe}**: {description}", f"Outcome: **{result['outcome']}**."]
    if result.get("tasks"):
        rows = (
            (row["task"], row["metric"], _interval(row["model"]), _interval(row.get("baseline")), row["gate"])
            for row in result["tasks"]
        )
        lines.append(kfp_summary.table(("task", "metric", "model [95 % CI]", "baseline [95 % CI]", "gates"), rows))
    promoted = [f"`models:/{move['model']}/{move['version']}`" for move in result.get("promotions", ())]
    if promoted:
        lines.append(f"Champions: {', '.join(promoted)}.")
    return "\n\n".join(lines)


def summarise(run_id: str, result: Mapping[str, Any], *, recipe: str, description: str, report: Path) -> None:
    """Write metrics, tags, description and the report to the parent run; a repeated call changes nothing.

    Args:
        run_id: MLflow run of the pipeline run.
        result: Contents of `result.json`.
        recipe: Name of the recipe.
        description: Its description.
        report: The HTML report.
    """
    from mlflow.entities import Metric, RunTag
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    started = client.get_run(run_id).info.start_time
    metrics = [Metric(name, value, started, 0) for name, value in metrics_of(result).items()]
    tags = {**tags_of(result), NOTE_TAG: describe(result, recipe, description)}
    client.log_batch(run_id, metrics=metrics, tags=[RunTag(name, value) for name, value in tags.items()])
    client.log_artifact(run_id, str(report))


def _interval(estimate: Mapping[str, Any] | None) -> str:
    if not estimate or estimate.get("value") is None:
        return "–"
    bounds = [estimate.get(name) for name in ("low", "high")]
    interval = f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if None not in bounds else ""
    return f"{estimate['value']:.3f}{interval}"
