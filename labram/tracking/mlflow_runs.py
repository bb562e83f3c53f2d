"""Experiment tracking: one MLflow parent run a pipeline run, one nested run a step.

The server is whatever ``MLFLOW_TRACKING_URI`` names, else an SQLite file in the workspace. The parent run is found by
its name, which every step of a pipeline run inherits as ``LABRAM_RUN``; so a run that was killed and started again goes
on in the same parent, and a step in the same nested run. Outside a pipeline (``LABRAM_RUN`` unset) a step is a run of
its own.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labram.errors import PlatformError
from labram.events import StepReporter, step
from labram.tracking import kfp_summary
from labram.tracking.metric_buffer import MetricBuffer
from labram.tracking.system_metrics import log_system_metrics

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "labram"
RUN_TAG, STEP_TAG, PIPELINE = "labram.run", "labram.step", "pipeline"
OUTCOME_TAG = "outcome"
BUFFER_FOLDER = "spool"
PATIENCE = {"FINISHED": 600.0, "FAILED": 60.0, "KILLED": 5.0}
"""Seconds that a step waits at its end for a server that is away; the pod of one that is killed has 20."""


def configure(workspace: Path) -> str:
    """Point MLflow at the server of this workspace; gives the tracking URI.

    Must be called before mlflow is imported by anything else. The default database is created by the first caller;
    callers that come at the same time wait for it, because MLflow's own migrations do not survive a race.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        folder = workspace.absolute() / "mlflow"
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        os.environ["MLFLOW_TRACKING_URI"] = uri
        if not (folder / "ready").exists():
            _create_database(folder, uri)
    import mlflow

    mlflow.set_tracking_uri(uri)
    return uri


def _create_database(folder: Path, uri: str) -> None:
    from filelock import FileLock
    from mlflow.tracking import MlflowClient

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "create.lock"):
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        if client.get_experiment_by_name(EXPERIMENT) is None:
            client.create_experiment(EXPERIMENT, artifact_location=(folder / "artifacts").as_uri())
        (folder / "ready").touch()


def experiment_id(client: "MlflowClient") -> str:
    """The experiment of all runs; made on a server that does not have it yet."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return str(experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT))


def open_parent_run(params: Mapping[str, str], tags: Mapping[str, str]) -> str:
    """Find or create this pipeline run's parent run; gives its run id.

    Args:
        params: The resolved recipe, flattened.
        tags: Commit, corpus version, recipe hash and the like.
    """
    from mlflow.entities import Param, RunTag
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    name = pipeline_run_name()
    run_id = find_parent_run(name)
    if run_id is None:
        run = client.create_run(experiment_id(client), run_name=name, tags={RUN_TAG: name, STEP_TAG: PIPELINE, **tags})
        run_id = run.info.run_id
        client.log_batch(run_id, params=[Param(key, value[:6000]) for key, value in params.items()])
    else:
        client.update_run(run_id, status="RUNNING")
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
    return run_id


def find_parent_run(name: str) -> str | None:
    """Run id of the parent run of that name, or None."""
    return _find(name, PIPELINE)


def _find(pipeline_run: str, step_name: str) -> str | None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    query = f"tags.`{RUN_TAG}` = '{pipeline_run}' and tags.`{STEP_TAG}` = '{step_name}'"
    found = client.search_runs([experiment_id(client)], query, max_results=1)
    return str(found[0].info.run_id) if found else None


def close_parent_run(run_id: str, outcome: str) -> None:
    """Mark the pipeline run as finished, with its outcome."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    client.set_tag(run_id, OUTCOME_TAG, outcome)
    client.set_terminated(run_id, "FINISHED")


def terminate_runs(name: str, status: str) -> bool:
    """End whatever is still marked as running of a pipeline run that failed or was stopped.

    Args:
        name: Of the pipeline run.
        status: ``FAILED`` or ``KILLED``.

    Returns:
        Whether the server took it. One that is away is not waited for: the run may have failed because of it.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    query = f"tags.`{RUN_TAG}` = '{name}' and attributes.status = 'RUNNING'"
    with _fail_fast():
        try:
            for run in client.search_runs([experiment_id(client)], query):
                client.set_terminated(run.info.run_id, status)
        except MlflowException:
            return False
    return True


@contextmanager
def _fail_fast() -> Iterator[None]:
    """MLflow's client tries once more and not for minutes."""
    hasty = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    before = {name: os.environ.get(name) for name in hasty}
    os.environ |= hasty
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


def latest_finished_run(tags: Mapping[str, str]) -> dict[str, str] | None:
    """Tags of the newest pipeline run that came to an outcome and carries all of `tags`, or None."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    conditions = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
    query = " and ".join([*conditions, f"tags.`{STEP_TAG}` = '{PIPELINE}'", "attributes.status = 'FINISHED'"])
    newest = ["attributes.end_time DESC"]
    for run in client.search_runs([experiment_id(client)], query, order_by=newest):
        if OUTCOME_TAG in run.data.tags and run.data.tags[RUN_TAG] != pipeline_run_name():
            return dict(run.data.tags)
    return None


class TrackedStep:
    """The monitor of a running step: progress goes to the events, metrics by way of a spool to MLflow."""

    def __init__(self, run_id: str, reporter: StepReporter, spool: Path) -> None:
        self.run_id, self.reporter = run_id, reporter
        self.buffer = MetricBuffer(spool, run_id, _send, reporter.note)

    def progress(self, done: int, total: int, **figures: float) -> None:
        """See `labram.events.Monitor.progress`."""
        self.reporter.progress(done, total, **figures)

    def note(self, text: str) -> None:
        """Tell the user one thing worth knowing."""
        self.reporter.note(text)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """See `labram.events.Monitor.metrics`; does not wait for the server."""
        self.buffer.add(step, values)

    def write_summary(self, file: str, *parts: str) -> None:
        """Write the page of the step's task: its place in MLflow, and parts as `labram.tracking.kfp_summary` has."""
        kfp_summary.write(Path(file), self.reporter.name, kfp_summary.link_to_run(self.run_id), *parts)

    def log_artifacts(self, folder: Path, *patterns: str) -> None:
        """Keep small files of a step's output folder, such as histories and evaluations."""
        from mlflow.tracking import MlflowClient

        client = MlflowClient()
        for pattern in patterns:
            for path in sorted(folder.glob(pattern)):
                client.log_artifact(self.run_id, str(path))


def _send(run_id: str, metrics: list[dict[str, Any]]) -> None:
    """Deliver metrics; those of a run that somebody has deleted go nowhere."""
    from mlflow.entities import Metric
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        MlflowClient().log_batch(run_id, metrics=[Metric(**metric) for metric in metrics])
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise


@contextmanager
def tracked(name: str, workspace: Path, *, label: str = "") -> Iterator[TrackedStep]:
    """Run a step with its events and its nested MLflow run.

    Args:
        name: The step, as in the DAG.
        workspace: Where the default tracking database is.
        label: What tells parallel tasks of the same step apart, such as a task's name or a shard.

    Raises:
        PlatformError: If MLflow is away when the step begins; once it has begun, it is not waited for.
    """
    shown = f"{name} {label}".strip()
    with step(shown) as reporter:
        configure(workspace)
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        client = MlflowClient()
        try:
            run_id = _open_nested(client, shown)
        except MlflowException as error:
            raise PlatformError(
                f"MLflow's server does not take a run of this step ({error.error_code})",
                field="MLFLOW_TRACKING_URI",
                remedy="See that it answers (labram doctor); the same command, or the pod's next attempt, goes on",
            ) from None
        tracked_step = TrackedStep(run_id, reporter, workspace / BUFFER_FOLDER)
        status = "FAILED"
        try:
            with log_system_metrics(tracked_step.metrics):
                yield tracked_step
            status = "FINISHED"
        except SystemExit:
            status = "KILLED"
            raise
        finally:
            if tracked_step.buffer.close(PATIENCE[status]):
                client.set_terminated(tracked_step.run_id, status)
            else:
                reporter.note("MLflow does not answer: the last metrics are delivered by the next step")


def _open_nested(client: "MlflowClient", name: str) -> str:
    """A new nested run, or the one that a killed attempt of the same step left behind."""
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

    tags = {STEP_TAG: name}
    whole = pipeline_run_name()
    if whole:
        left = _find(whole, name)
        if left:
            client.update_run(left, status="RUNNING")
            return left
        tags[RUN_TAG] = whole
        parent = find_parent_run(whole)
        if parent:
            tags[MLFLOW_PARENT_RUN_ID] = parent
    return str(client.create_run(experiment_id(client), run_name=name, tags=tags).info.run_id)


def pipeline_run_name() -> str:
    """Name of the pipeline run that this process belongs to; empty outside one."""
    return os.environ.get("LABRAM_RUN", "")


def start_time(run_id: str) -> str:
    """When a run started, ISO 8601 in UTC."""
    from mlflow.tracking import MlflowClient

    start = MlflowClient().get_run(run_id).info.start_time
    return datetime.fromtimestamp(start / 1000, UTC).isoformat(timespec="seconds")
