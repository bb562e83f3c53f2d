"""Runs that stay RUNNING although their process has ended: killed by the system, or lost with its machine.

In a workspace with its own database, only one pipeline runs at a time (`run.lock`): the holder of the lock knows that
all other runs are dead. On a server, a run is dead if it has been silent for `SILENT_HOURS`; running steps report
metrics of their machine every few seconds.
"""

import time
from typing import TYPE_CHECKING

from labram.tracking.mlflow_runs import RUN_TAG, experiment_id
from labram.tracking.system_metrics import PREFIX

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

SILENT_HOURS = 24.0
REASON_TAG = "ended_because"


def end_dead_runs(*, current: str = "", alone: bool) -> list[str]:
    """Set the status of dead runs to FAILED, with the reason as a tag; return a sentence for each pipeline run.

    Args:
        current: Name of the pipeline run that calls, which is alive.
        alone: Whether the caller holds the lock of the workspace whose database this is.
    """
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    running: dict[str, list[Run]] = {}
    for run in client.search_runs([experiment_id(client)], "attributes.status = 'RUNNING'"):
        running.setdefault(run.data.tags.get(RUN_TAG, run.info.run_id), []).append(run)
    running.pop(current, None)
    said = []
    for name, runs in sorted(running.items()):
        silent = _silent_hours(client, runs)
        if not alone and silent < SILENT_HOURS:
            continue
        reason = "its process had ended" if alone else f"it had been silent for {silent:.0f} hours"
        for run in runs:
            client.set_tag(run.info.run_id, REASON_TAG, reason)
            client.set_terminated(run.info.run_id, "FAILED")
        said.append(f"run {name} was RUNNING, but {reason}: it is FAILED now")
    return said


def _silent_hours(client: "MlflowClient", runs: "list[Run]") -> float:
    """Return the hours since the newest sign of life: the start of a run, or a metric of its machine."""
    newest = max(run.info.start_time for run in runs)
    for run in runs:
        key = next((name for name in run.data.metrics if name.startswith(PREFIX)), None)
        if key:
            newest = max(newest, *(metric.timestamp for metric in client.get_metric_history(run.info.run_id, key)))
    return float(time.time() - newest / 1000) / 3600
