"""Commands in reports. They are run in the workspace, so that they hold wherever it is, or was moved to."""

import shlex

from labram.recipe import RUN_FILE
from labram.tracking.mlflow_runs import DATABASE, SQLITE

RUNS = "runs"
LEAD = (
    "Run the commands in the workspace, the folder given with --workspace (by default .labram), "
    "after DATA=…, the folder of recordings."
)


def reproduce(command: str, run_name: str, start: str = "") -> tuple[str, str]:
    """Return the command that runs every step again, with its purpose.

    Args:
        command: `run`, `adapt` or `study`.
        run_name: Name of the run, whose folder has the resolved recipe.
        start: Address and digest of the backbone that the run started from; "" if it trained its own.
    """
    address = start.rpartition("#")[0]
    backbone = [address if address.startswith("models:/") else "BACKBONE"] if start else []
    recipe = f"{RUNS}/{run_name}/{RUN_FILE}"
    words = ["labram", command, *backbone, "--recipe", recipe]
    return "Run every step again", f'{shlex.join(words)} --data "$DATA" --workspace . --force'


def evaluate(model: str, version: str, task: str) -> tuple[str, str]:
    """Return the command that evaluates a registered version, with its purpose."""
    words = ["labram", "evaluate", f"models:/{model}/{version}", "--task", task]
    return "Evaluate the task model on a folder of recordings", f'{shlex.join(words)} --data "$DATA" --workspace .'


def tracking() -> tuple[str, str]:
    """Return the command that opens MLflow on the workspace's own database, with its purpose."""
    return "Open MLflow", f"mlflow ui --backend-store-uri {SQLITE}{DATABASE.as_posix()}"
