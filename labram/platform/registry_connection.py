"""Connection of a command to MLflow, on this machine or on a cluster: what is missing is reported within seconds."""

import os
from pathlib import Path

from labram.errors import PlatformError, RegistryError
from labram.platform.doctor import services
from labram.platform.workspace import Workspace
from labram.tracking import mlflow_runs

REMEDY = (
    "Forward MLflow's port (kubectl -n NAMESPACE port-forward svc/mlflow 5000:5000), and set "
    "MLFLOW_TRACKING_URI=http://localhost:5000, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
)
"""How to reach the server of a cluster from outside."""


def connect(workspace: str | Path) -> None:
    """Use MLflow's server in ``MLFLOW_TRACKING_URI``, or else the database of a workspace.

    MLflow's client would repeat requests for minutes while a server does not respond or rejects the account.

    Raises:
        PlatformError: If the server does not respond or does not accept the account; the remedy names the setting.
        RegistryError: If the workspace has no database. None is created.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith("http"):
        finding = services.mlflow(uri)
        if finding.state != "ok":
            raise PlatformError(f"MLflow: {finding.detail}", field="MLFLOW_TRACKING_URI", remedy=REMEDY)
    root = Workspace.at(workspace).root
    if not mlflow_runs.has_runs(root):
        raise RegistryError(
            "there is no registry here",
            file=root.name,
            field="--workspace",
            remedy="Name the original's workspace with --workspace, or its server with MLFLOW_TRACKING_URI; "
            "`labram run` makes one",
        )
    mlflow_runs.configure(root)
