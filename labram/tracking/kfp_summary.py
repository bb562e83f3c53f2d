"""The page that Kubeflow Pipelines shows beside a task, in Markdown: what it found, and where MLflow has the rest."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

MLFLOW_PAGE = "LABRAM_MLFLOW_PAGE"
"""Environment variable with the address of MLflow for people, where it is another than ``MLFLOW_TRACKING_URI``."""


def write(path: Path, title: str, *parts: str) -> None:
    """Write a page: its title, and its parts below each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join([f"### {title}", *parts]) + "\n")


def link_to_run(run_id: str) -> str:
    """To a run in MLflow; its id alone where no server is, and so no page."""
    from mlflow.tracking import MlflowClient

    address = _mlflow()
    if not address:
        return f"MLflow run `{run_id}`"
    experiment = MlflowClient().get_run(run_id).info.experiment_id
    return f"[Run in MLflow]({address}/#/experiments/{experiment}/runs/{run_id})"


def link_to_model(name: str, version: str) -> str:
    """To a version of a registered model, likewise."""
    text, address = f"{name} version {version}", _mlflow()
    return f"[{text}]({address}/#/models/{name}/versions/{version})" if address else text


def metrics_table(values: Mapping[str, float]) -> str:
    """A table of named values."""
    return table(("figure", "value"), ((name, f"{value:.4g}") for name, value in values.items()))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the texts stand in it as they are."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _mlflow() -> str:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    given = os.environ.get(MLFLOW_PAGE) or uri
    return given.rstrip("/") if uri.startswith("http") else ""
