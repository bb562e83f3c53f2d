"""Failures of pipeline runs in MLflow: which step failed and why, on the run of the step and on its parent run.

A later attempt of the step that failed reopens the parent run; other steps leave it as it is.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

OUTCOME_TAG = "outcome"
FAILED_STEP_TAG, FAILURE_TAG = "failed_step", "failure"
CLOSED_TAG = "closed_for"
"""Tag of a parent run that another program than its steps ended: the reason."""
ERROR = "error"
"""Outcome of a run that failed."""
MAX_TEXT = 4000
"""Characters of a tag; MLflow accepts 8000."""


def record(client: "MlflowClient", run_id: str, step: str, text: str, *, status: str = "FAILED") -> None:
    """End a parent run with the failure of a step.

    Args:
        client: Client of the tracking server.
        run_id: MLflow id of the parent run.
        step: Label of the step, such as ``finetune gait``; "" if it is not known.
        text: What failed, and what to do about it.
        status: ``FAILED`` or ``KILLED``.
    """
    from mlflow.entities import RunTag

    tags = {OUTCOME_TAG: ERROR, FAILED_STEP_TAG: step, FAILURE_TAG: text[:MAX_TEXT]}
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
    client.set_terminated(run_id, status)


def record_step(client: "MlflowClient", run_id: str, text: str) -> None:
    """End the run of a step with its failure."""
    client.set_tag(run_id, FAILURE_TAG, text[:MAX_TEXT])
    client.set_terminated(run_id, "FAILED")


def reopen(client: "MlflowClient", run: "Run") -> None:
    """Set an ended run, of a step or of a pipeline, to running again, without its failure."""
    client.update_run(run.info.run_id, status="RUNNING")
    for tag in (OUTCOME_TAG, FAILED_STEP_TAG, FAILURE_TAG, CLOSED_TAG):
        if tag in run.data.tags:
            client.delete_tag(run.info.run_id, tag)


def reopen_after(client: "MlflowClient", parent: "Run", step: str) -> None:
    """Reopen a parent run that ended because this step, or an unknown one, failed: the step runs again."""
    tags = parent.data.tags
    if tags.get(OUTCOME_TAG) == ERROR and tags.get(FAILED_STEP_TAG, "") in {"", step}:
        reopen(client, parent)
