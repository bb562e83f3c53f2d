"""Pipeline runs in MLflow: what `labram runs` lists and compares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from labram.errors import RegistryError
from labram.tracking.mlflow_client import client
from labram.tracking.mlflow_runs import OUTCOME_TAG, PIPELINE, RUN_TAG, STEP_TAG, experiment_id

if TYPE_CHECKING:
    from mlflow.entities import Run

REPRODUCES_TAG = "reproduces"
"""Tag of a reproduction on a cluster: the name of the run that it runs again."""


@dataclass(frozen=True)
class StepRun:
    """A step of a pipeline run: its status, duration and final metrics."""

    name: str
    status: str
    seconds: float | None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PipelineRun:
    """A pipeline run.

    Attributes:
        name: Name of the run.
        run_id: MLflow run id of the parent run.
        status: MLflow's status: RUNNING, FINISHED, FAILED or KILLED.
        started: Start.
        seconds: Duration; None while it is running.
        tags: Origin and outcome.
        params: The resolved recipe, flattened.
    """

    name: str
    run_id: str
    status: str
    started: datetime
    seconds: float | None
    tags: Mapping[str, str]
    params: Mapping[str, str]

    @property
    def outcome(self) -> str:
        """The outcome, or the status in lower case while there is none."""
        return self.tags.get(OUTCOME_TAG) or self.status.lower()


def list_runs() -> list[PipelineRun]:
    """Return all pipeline runs of the tracking server, newest first."""
    server = client()
    query, newest = f"tags.`{STEP_TAG}` = '{PIPELINE}'", ["attributes.start_time DESC"]
    found: list[PipelineRun] = []
    token: str | None = None
    while True:
        page = server.search_runs([experiment_id(server)], query, order_by=newest, page_token=token)
        found += [_pipeline_run(run) for run in page]
        if not (token := page.token):
            return found


def find_run(name: str) -> PipelineRun:
    """Return the pipeline run of a name, or of an MLflow run id.

    Raises:
        RegistryError: If there is none; the remedy lists the newest ones.
    """
    runs = list_runs()
    for run in runs:
        if name in (run.name, run.run_id):
            return run
    newest = ", ".join(run.name for run in runs[:5])
    raise RegistryError(
        f"no run is named {name!r}",
        field="run",
        remedy=f"Choose one that `labram runs list` shows, such as {newest}" if newest else "Run `labram run` first",
    )


def steps_of(run: PipelineRun) -> list[StepRun]:
    """Return the steps that a run executed, in the order of their start; reused steps belong to the run before."""
    server = client()
    query = f"tags.`{RUN_TAG}` = '{run.name}' and tags.`{STEP_TAG}` != '{PIPELINE}'"
    found = server.search_runs([experiment_id(server)], query, order_by=["attributes.start_time ASC"])
    return [
        StepRun(step.data.tags[STEP_TAG], step.info.status, _seconds(step), _final_metrics(step.data.metrics))
        for step in found
    ]


def _final_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics without those of the machine."""
    return {name: value for name, value in sorted(metrics.items()) if not name.startswith("system/")}


def _pipeline_run(run: "Run") -> PipelineRun:
    return PipelineRun(
        name=run.data.tags[RUN_TAG],
        run_id=run.info.run_id,
        status=run.info.status,
        started=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        seconds=_seconds(run),
        tags={name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")},
        params=dict(run.data.params),
    )


def _seconds(run: "Run") -> float | None:
    return None if run.info.end_time is None else (run.info.end_time - run.info.start_time) / 1000
