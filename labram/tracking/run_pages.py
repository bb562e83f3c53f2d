"""Addresses of MLflow's pages of runs in a browser."""

import sys
from pathlib import Path

from labram.tracking import own_database
from labram.tracking.mlflow_runs import DATABASE, EXPERIMENT, how_to_open

OWN_PAGE = "http://127.0.0.1:5000"
"""Where `make ui` and `mlflow ui` serve the workspace's own database."""


def page(workspace: Path, experiment: str, run: str = "") -> str:
    """Return the address of an experiment's table of runs in a browser, or of one run.

    For the workspace's own database it is where `make ui`, or the command of `how_to_open`, serves MLflow.
    """
    base = how_to_open(workspace)
    base = base if base.startswith("http") else OWN_PAGE
    return f"{base.rstrip('/')}/#/experiments/{experiment}/runs{'/' + run if run else ''}"


def experiment_of(run_id: str) -> str:
    """Return the id of a run's experiment."""
    from mlflow.tracking import MlflowClient

    return str(MlflowClient().get_run(run_id).info.experiment_id)


def main(workspace: Path) -> None:
    """Print the address of the table of runs of a workspace's own database, or that of MLflow if it has none."""
    experiment = own_database.experiment_id(workspace / DATABASE, EXPERIMENT)
    print(page(workspace, experiment) if experiment else OWN_PAGE)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
