"""Records of runs in MLflow, from which a run's steps, outcome and failure are read.

Kubeflow Pipelines keeps neither the outcome of a run nor, once Argo compresses a workflow's status, the states of its
tasks, and it deletes workflow and pods an hour after the run.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from labram.errors import PlatformError
from labram.platform import registry_connection
from labram.platform.run_result import RunOutcome
from labram.tracking import kfp_summary, mlflow_runs, run_failures

if TYPE_CHECKING:
    from mlflow.entities import Run

STATES = {"RUNNING": "running", "FINISHED": "succeeded", "FAILED": "failed", "KILLED": "killed"}
"""States of a step by the status of its MLflow run."""


@dataclass(frozen=True)
class StepRecord:
    """A step of a run.

    Attributes:
        label: Label of the step, such as ``finetune gait``.
        state: A value of `STATES`.
        progress: Finished fraction, if the step has reported one.
        failure: What failed and what to do about it; "" if nothing is recorded.
    """

    label: str
    state: str
    progress: float | None = None
    failure: str = ""


@dataclass(frozen=True)
class MlflowRecord:
    """What MLflow has of a run.

    Attributes:
        name: KFP run id.
        run_id: MLflow id of the parent run; "" if there is none yet.
        url: Its address in a browser.
        ended: Whether the parent run has ended.
        tags: Tags of the parent run.
        steps: Steps in the order of their start.
    """

    name: str
    run_id: str = ""
    url: str = ""
    ended: bool = False
    tags: Mapping[str, str] | None = None
    steps: Sequence[StepRecord] = ()

    def _tag(self, name: str) -> str:
        return (self.tags or {}).get(name, "")

    @property
    def outcome(self) -> str:
        """Outcome of the run, a value of `RunOutcome`; "" if it is not known."""
        return self._tag(run_failures.OUTCOME_TAG)

    @property
    def repeats(self) -> str:
        """Outcome of the earlier run that an unchanged run repeats."""
        return self._tag(mlflow_runs.REPEATS_TAG)

    @property
    def failed_gates(self) -> str:
        """Failed gates, each as ``MODEL: GATE: DETAIL``."""
        return self._tag(mlflow_runs.FAILED_GATES_TAG)

    @property
    def failure(self) -> str:
        """What failed, as ``STEP: MESSAGE``; "" if the run has not failed."""
        return ": ".join(filter(None, (self._tag(run_failures.FAILED_STEP_TAG), self._tag(run_failures.FAILURE_TAG))))

    @property
    def program_failed(self) -> bool:
        """Whether a step reported its failure itself. If not, its pod was ended by others."""
        return any(step.failure for step in self.steps) or (
            self.outcome == RunOutcome.ERROR and not self._tag(run_failures.CLOSED_TAG)
        )

    @property
    def retries(self) -> int:
        """How often labram has retried the run."""
        return int(self._tag(RETRIES_TAG) or 0)


RETRIES_TAG = "retries"
"""Tag of a parent run: how often labram has retried it."""


def connect() -> None:
    """Use the tracking server of MLFLOW_TRACKING_URI.

    Raises:
        PlatformError: If the variable does not name a server, or the server does not accept this account.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith("http"):
        problem = "the outcome of a run is recorded in MLflow, and this variable does not name its server"
        raise PlatformError(problem, field="MLFLOW_TRACKING_URI", remedy=registry_connection.REMEDY)
    registry_connection.connect(tempfile.gettempdir())


def read(name: str) -> MlflowRecord:
    """Return the record of a run, an empty one if MLflow has none yet.

    Args:
        name: KFP run id.

    Raises:
        PlatformError: If MLflow does not respond.
    """
    from mlflow.tracking import MlflowClient

    client, query = MlflowClient(), f"tags.`{mlflow_runs.RUN_TAG}` = '{name}'"
    with _answering():
        experiment = mlflow_runs.experiment_id(client)
        return _record(name, client.search_runs([experiment], query, order_by=["attributes.start_time ASC"]))


@contextmanager
def _answering() -> Iterator[None]:
    """Fail within seconds, with a `PlatformError`, if MLflow does not respond."""
    from mlflow.exceptions import MlflowException

    try:
        with mlflow_runs.fail_fast():
            yield
    except MlflowException as error:
        raise PlatformError(
            f"MLflow does not respond ({error.error_code})",
            field="MLFLOW_TRACKING_URI",
            remedy="Check that its port is forwarded and its pods are ready, then run the command again",
        ) from error


def _record(name: str, runs: Sequence["Run"]) -> MlflowRecord:
    record, steps = MlflowRecord(name), []
    for run in runs:
        tags = dict(run.data.tags)
        if tags.get(mlflow_runs.STEP_TAG) == mlflow_runs.PIPELINE:
            ended = run.info.status in {"FINISHED", "FAILED", "KILLED"}
            url = kfp_summary.run_url(run.info.run_id, run.info.experiment_id)
            record = MlflowRecord(name, run.info.run_id, url, ended, tags)
        else:
            state = STATES.get(run.info.status, run.info.status.lower())
            progress = run.data.metrics.get(mlflow_runs.PROGRESS)
            failure = tags.get(run_failures.FAILURE_TAG, "")
            steps.append(StepRecord(tags.get(mlflow_runs.STEP_TAG, ""), state, progress, failure))
    return replace(record, steps=steps)


def count_retry(record: MlflowRecord) -> int:
    """Count a retry in the record of a run, which runs again; return the number of its retries.

    Raises:
        PlatformError: If MLflow does not respond.
    """
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    with _answering():
        run_id = record.run_id or mlflow_runs.create_parent_run(record.name, {})
        client.set_tag(run_id, RETRIES_TAG, record.retries + 1)
        run_failures.reopen(client, client.get_run(run_id))
    return record.retries + 1


def close(record: MlflowRecord, step: str, reason: str, *, status: str) -> MlflowRecord:
    """End the record of a run whose steps could not do so, with the reason; return the record as it is now.

    Args:
        record: The record.
        step: Name of the step that failed; "" if it is not known.
        reason: Why the run ended.
        status: ``FAILED`` or ``KILLED``.

    Raises:
        PlatformError: If MLflow does not respond.
    """
    from mlflow.tracking import MlflowClient

    if not record.ended:
        client = MlflowClient()
        with _answering():
            run_id = record.run_id or mlflow_runs.create_parent_run(record.name, {})
            client.set_tag(run_id, run_failures.CLOSED_TAG, reason[: run_failures.MAX_TEXT])
            run_failures.record(client, run_id, step, reason, status=status)
            mlflow_runs.terminate_runs(record.name, status)
    return read(record.name)
