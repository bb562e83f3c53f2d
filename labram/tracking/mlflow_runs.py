"""MLflow runs: one parent run per pipeline run, one nested run per step.

The tracking server is ``MLFLOW_TRACKING_URI``, or else an SQLite file in the workspace. Steps find the parent run by
name, which they inherit as ``LABRAM_RUN``. A pipeline run that is resumed therefore uses the same parent run, and a
step the same nested run. Outside a pipeline (``LABRAM_RUN`` unset) a step has a run without a parent.
"""

import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labram.errors import PlatformError
from labram.events import StepReporter, failure_text, followed, step
from labram.system_errors import as_sentence
from labram.tracking import kfp_summary, own_database, run_failures
from labram.tracking.metric_buffer import MetricBuffer
from labram.tracking.system_metrics import log_system_metrics

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "labram"
SQLITE = "sqlite:///"
DATABASE = Path("mlflow", "mlflow.db")
"""The workspace's own database, in its folder."""
_own: set[str] = set()
"""Addresses that this process has put into the variable: no setting of the user."""
RUN_TAG, STEP_TAG, PIPELINE = "labram.run", "labram.step", "pipeline"
OUTCOME_TAG = run_failures.OUTCOME_TAG
FAILED_GATES_TAG, SINCE_TAG, REPEATS_TAG = "failed_gates", "since", "repeats"
"""Tags of a parent run: its failed gates; of an unchanged run the earlier run and its outcome, which it repeats."""
PROGRESS = "progress"
"""Metric of a step's run on a cluster: the finished fraction."""
UNCHANGED = "unchanged"
BUFFER_FOLDER = "spool"
PATIENCE = {"FINISHED": 600.0, "FAILED": 60.0, "KILLED": 5.0}
"""Seconds that a step waits at its end for an unavailable server, by run status. A killed pod has 20 s in all."""


def tracking_uri(workspace: Path) -> str:
    """Return the address of MLflow's data: ``MLFLOW_TRACKING_URI``, else the database of the workspace.

    A relative SQLite path is relative to the current folder; it is made absolute, so that all steps use one database.

    Raises:
        PlatformError: If the variable names a folder, which MLflow no longer supports.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri or uri in _own:
        return f"{SQLITE}{workspace.absolute() / DATABASE}"
    if uri.startswith(SQLITE):
        return f"{SQLITE}{Path(uri.removeprefix(SQLITE)).absolute()}"
    if uri.startswith("file:") or ("://" not in uri and uri != "databricks"):
        raise PlatformError(
            "MLflow no longer stores runs and models in folders",
            field="MLFLOW_TRACKING_URI",
            remedy="Set it to sqlite:///FILE or a server's address, or unset it to use the workspace's database",
        )
    return uri


def in_workspace(workspace: Path) -> bool:
    """Return whether MLflow's data are in the database of the workspace."""
    return tracking_uri(workspace) == f"{SQLITE}{workspace.absolute() / DATABASE}"


def how_to_open(workspace: Path) -> str:
    """Return the address of MLflow's pages, or the command that opens them."""
    uri = tracking_uri(workspace)
    if uri.startswith("http"):
        return os.environ.get(kfp_summary.MLFLOW_PAGE) or uri
    return f"mlflow ui --backend-store-uri {shlex.quote(uri)}"


def configure(workspace: Path) -> str:
    """Set MLflow's tracking URI for this workspace, and return it.

    Must be called before anything else imports mlflow. The first caller creates the workspace's database while others
    wait, because concurrent MLflow migrations fail. If the workspace was moved or copied, its database is updated.

    Raises:
        PlatformError: If the database is damaged or cannot be written, or see `tracking_uri`.
    """
    require_home(workspace)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # else the client downloads from the server's bucket, whose address outsiders and many pods cannot reach
    os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
    uri = os.environ["MLFLOW_TRACKING_URI"] = tracking_uri(workspace)
    if in_workspace(workspace):
        _own.add(uri)
        own_database.prepare(workspace.absolute() / DATABASE, EXPERIMENT)
    import mlflow

    mlflow.set_tracking_uri(uri)
    return uri


def has_runs(workspace: Path) -> bool:
    """Return whether MLflow can have runs of this workspace: on a server, or in the default database if it exists."""
    return not in_workspace(workspace) or (workspace.absolute() / DATABASE).exists()


def require_home(workspace: Path) -> None:
    """Set HOME to a folder of the workspace for a user without a home, because MLflow's import asks for it."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(workspace.absolute() / "home")


def experiment_id(client: "MlflowClient") -> str:
    """Return the id of labram's experiment, which is created if it does not exist."""
    return find_or_create_experiment(client, EXPERIMENT)


def find_or_create_experiment(client: "MlflowClient", name: str, artifact_location: str | None = None) -> str:
    """Return the id of an experiment; of callers at the same time, one creates it.

    Args:
        client: Client of the tracking server.
        name: Name of the experiment.
        artifact_location: Address for its artifacts; None: the server's.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifact_location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    return str(found.experiment_id)


def open_parent_run(params: Mapping[str, str], tags: Mapping[str, str]) -> str:
    """Find or create the parent run of this pipeline run, and return its run id.

    Args:
        params: The resolved recipe, flattened.
        tags: Lineage: commit, corpus version, recipe hash and others.
    """
    from mlflow.entities import Param, RunTag
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    name = pipeline_run_name()
    run_id = find_parent_run(name)
    if run_id is None:
        run_id = create_parent_run(name, tags)
        client.log_batch(run_id, params=[Param(key, value[:6000]) for key, value in params.items()])
    else:
        run_failures.reopen(client, client.get_run(run_id))
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
    return run_id


def record_unchanged(tags: Mapping[str, str], finished: Mapping[str, str]) -> None:
    """Record a run on a cluster that repeats the outcome of an earlier one, for `labram pipeline submit --wait`.

    Args:
        tags: Tags that describe the run. They must not identify it as one that has computed something.
        finished: Tags of the earlier run.
    """
    from mlflow.tracking import MlflowClient

    repeated = {OUTCOME_TAG: UNCHANGED, SINCE_TAG: finished[RUN_TAG], REPEATS_TAG: finished[OUTCOME_TAG]}
    run_id = create_parent_run(pipeline_run_name(), {**tags, **repeated})
    MlflowClient().set_terminated(run_id, "FINISHED")


def create_parent_run(name: str, tags: Mapping[str, str]) -> str:
    """Create the parent run of a pipeline run, and return its run id."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    own = {RUN_TAG: name, STEP_TAG: PIPELINE, **tags}
    return str(client.create_run(experiment_id(client), run_name=name, tags=own).info.run_id)


@contextmanager
def failures_recorded(step_name: str) -> Iterator[None]:
    """Record the failure of a step without an MLflow run in the parent run, if there is a server.

    A server that does not respond is not waited for: it may be why the step fails.
    """
    try:
        yield
    except Exception as error:
        _record_failure(step_name, failure_text(error))
        raise


def _record_failure(step_name: str, text: str) -> None:
    name, uri = pipeline_run_name(), os.environ.get("MLFLOW_TRACKING_URI", "")
    if not name or not uri.startswith("http"):
        return
    configure(Path(tempfile.gettempdir()))
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    with fail_fast(), suppress(MlflowException):
        run_failures.record(client, find_parent_run(name) or create_parent_run(name, {}), step_name, text)


def log_text(run_id: str, text: str, file: str) -> None:
    """Log a text as an artifact of a run."""
    from mlflow.tracking import MlflowClient

    MlflowClient().log_text(run_id, text, file)


def find_parent_run(name: str) -> str | None:
    """Return the run id of the parent run with this name, or None."""
    return _find(name, PIPELINE)


def _find(pipeline_run: str, step_name: str) -> str | None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    query = f"tags.`{RUN_TAG}` = '{pipeline_run}' and tags.`{STEP_TAG}` = '{step_name}'"
    runs = client.search_runs([experiment_id(client)], query, max_results=1)
    return str(runs[0].info.run_id) if runs else None


def close_parent_run(run_id: str, outcome: str, failed_gates: str = "") -> None:
    """Mark the parent run as finished and tag it with its outcome and its failed gates."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    client.set_tag(run_id, FAILED_GATES_TAG, failed_gates[: run_failures.MAX_TEXT])
    client.set_tag(run_id, OUTCOME_TAG, outcome)
    client.set_terminated(run_id, "FINISHED")


def terminate_runs(name: str, status: str) -> bool:
    """Set the status of all unfinished MLflow runs of a pipeline run that failed or was stopped.

    Args:
        name: Name of the pipeline run.
        status: ``FAILED`` or ``KILLED``.

    Returns:
        Whether the server accepted it. An unavailable server is not waited for: it may be why the run failed.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    query = f"tags.`{RUN_TAG}` = '{name}' and attributes.status = 'RUNNING'"
    with fail_fast():
        try:
            for run in client.search_runs([experiment_id(client)], query):
                client.set_terminated(run.info.run_id, status)
        except MlflowException:
            return False
    return True


@contextmanager
def fail_fast() -> Iterator[None]:
    """Limit MLflow's client to one retry and short timeouts."""
    limits = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    before = {name: os.environ.get(name) for name in limits}
    os.environ |= limits
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


def latest_finished_run(tags: Mapping[str, str]) -> dict[str, str] | None:
    """Return the tags of the newest finished pipeline run that has all of `tags` and an outcome, or None."""
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
    """Monitor of a running step: reports progress as events and buffers metrics for MLflow."""

    def __init__(self, run_id: str, reporter: StepReporter, buffer_folder: Path, started: int) -> None:
        self.run_id, self.reporter, self._started = run_id, reporter, started
        self.buffer = MetricBuffer(buffer_folder, run_id, _send, reporter.note)

    def progress(self, done: int, total: int, **metrics: float) -> None:
        """Report progress; see `labram.events.Monitor.progress`."""
        if self.reporter.progress(done, total, **metrics) and not followed():
            self.buffer.add(done, {PROGRESS: done / max(total, 1)})

    def note(self, text: str) -> None:
        """Report a message to the user."""
        self.reporter.note(text)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Buffer metrics for MLflow; see `labram.events.Monitor.metrics`. Does not wait for the server."""
        self.buffer.add(step, values)

    def summarise(self, values: Mapping[str, float]) -> None:
        """Buffer the final metrics of the step; if it was killed and runs again, they are not logged twice."""
        self.buffer.add(0, values, timestamp=self._started)

    def write_summary(self, file: str, *parts: str) -> None:
        """Write the KFP summary of the step's task: a link to its MLflow run, then `parts` in Markdown."""
        kfp_summary.write(Path(file), self.reporter.name, kfp_summary.link_to_run(self.run_id), *parts)

    def log_artifacts(self, folder: Path, *patterns: str) -> None:
        """Log files of a step's output folder that match `patterns` as MLflow artifacts."""
        from mlflow.tracking import MlflowClient

        client = MlflowClient()
        for pattern in patterns:
            for path in sorted(folder.glob(pattern)):
                client.log_artifact(self.run_id, str(path))


def _send(run_id: str, metrics: list[dict[str, Any]]) -> None:
    """Send metrics to MLflow. Metrics of a deleted run are dropped."""
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
        name: Name of the step, as in the DAG.
        workspace: Folder of the default tracking database.
        label: Distinguishes parallel tasks of the same step, such as a task's name or a shard.

    Raises:
        PlatformError: If MLflow is unavailable when the step starts. A running step does not wait for it.
    """
    step_label = f"{name} {label}".strip()
    with step(step_label) as reporter:
        configure(workspace)
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        client = MlflowClient()
        try:
            run_id = _open_nested(client, step_label)
            started = client.get_run(run_id).info.start_time
        except MlflowException as error:
            stated = as_sentence(error)
            assert stated is not None
            problem = f"the MLflow server did not create a run for this step ({error.error_code})"
            raise PlatformError(problem, field="MLFLOW_TRACKING_URI", remedy=stated.remedy) from None
        tracked_step = TrackedStep(run_id, reporter, workspace / BUFFER_FOLDER, started)
        status, failure = "FAILED", ""
        try:
            with log_system_metrics(tracked_step.metrics):
                yield tracked_step
            status = "FINISHED"
        except SystemExit:
            status = "KILLED"
            raise
        except Exception as error:
            failure = failure_text(error)
            raise
        finally:
            if tracked_step.buffer.close(PATIENCE[status]):
                _terminate(client, tracked_step.run_id, status, failure, reporter)
            else:
                reporter.note("MLflow does not respond; the next step sends the remaining metrics")


def _terminate(client: "MlflowClient", run_id: str, status: str, failure: str, reporter: StepReporter) -> None:
    """End a step's run, and after a failure its parent run; a second failure must not hide the first."""
    from mlflow.exceptions import MlflowException

    try:
        if not failure:
            client.set_terminated(run_id, status)
            return
        run_failures.record_step(client, run_id, failure)
        if parent := find_parent_run(pipeline_run_name()):
            run_failures.record(client, parent, reporter.name, failure)
    except MlflowException as error:
        if status == "FINISHED":
            raise
        reporter.note(f"MLflow does not respond ({error.error_code}); its run stays RUNNING")


def _open_nested(client: "MlflowClient", name: str) -> str:
    """Create a nested run, or reopen that of a killed attempt of the same step; return its id."""
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

    tags = {STEP_TAG: name}
    run_name = pipeline_run_name()
    if run_name:
        parent = find_parent_run(run_name)
        if parent:
            run_failures.reopen_after(client, client.get_run(parent), name)
            tags[MLFLOW_PARENT_RUN_ID] = parent
        existing = _find(run_name, name)
        if existing:
            run_failures.reopen(client, client.get_run(existing))
            return existing
        tags[RUN_TAG] = run_name
    return str(client.create_run(experiment_id(client), run_name=name, tags=tags).info.run_id)


def pipeline_run_name() -> str:
    """Return the name of the pipeline run that this process belongs to, or "" outside one."""
    return os.environ.get("LABRAM_RUN", "")


def start_time(run_id: str) -> str:
    """Return the start time of an MLflow run: ISO 8601, UTC."""
    from mlflow.tracking import MlflowClient

    start = MlflowClient().get_run(run_id).info.start_time
    return datetime.fromtimestamp(start / 1000, UTC).isoformat(timespec="seconds")
