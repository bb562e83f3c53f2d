"""Markdown summary of a task for the Kubeflow Pipelines UI: its metrics and a link to its MLflow run."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

MLFLOW_PAGE = "LABRAM_MLFLOW_PAGE"
"""Environment variable with MLflow's address in a browser, if it differs from ``MLFLOW_TRACKING_URI``."""


def write(path: Path, title: str, *parts: str) -> None:
    """Write a Markdown file with a title and its parts, separated by blank lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join([f"### {title}", *parts]) + "\n", encoding="utf-8")


def link_to_run(run_id: str) -> str:
    """Return a Markdown link to an MLflow run, or its id if there is no tracking server."""
    from mlflow.tracking import MlflowClient

    url = run_url(run_id, MlflowClient().get_run(run_id).info.experiment_id) if _mlflow_url() else ""
    return f"[Run in MLflow]({url})" if url else f"MLflow run `{run_id}`"


def run_url(run_id: str, experiment_id: str) -> str:
    """Return the address of an MLflow run in a browser; relative if there is no tracking server."""
    return f"{_mlflow_url()}/#/experiments/{experiment_id}/runs/{run_id}"


def link_to_model(name: str, version: str) -> str:
    """Return a Markdown link to a registered model version, or its name if there is no tracking server."""
    text, base_url = f"{name} version {version}", _mlflow_url()
    return f"[{text}]({base_url}/#/models/{name}/versions/{version})" if base_url else text


def metrics_table(values: Mapping[str, float]) -> str:
    """Return a Markdown table of named values."""
    return table(("metric", "value"), ((name, f"{value:.4g}") for name, value in values.items()))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table. Only ``|`` is escaped in cells."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _mlflow_url() -> str:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    return (os.environ.get(MLFLOW_PAGE) or uri).rstrip("/") if uri.startswith("http") else ""
