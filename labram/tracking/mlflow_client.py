"""The client of MLflow's tracking server and registry; MLflow is imported on use."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def client() -> "MlflowClient":
    """Return a client of the tracking server that `labram.tracking.mlflow_runs.configure` set."""
    from mlflow.tracking import MlflowClient

    return MlflowClient()
