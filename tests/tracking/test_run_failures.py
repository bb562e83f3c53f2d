"""What MLflow has of a pipeline run that failed, runs again, or had nothing to compute."""

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from labram import events
from labram.errors import PlatformError
from labram.tracking import mlflow_runs


@pytest.fixture
def workspace(tracking_uri) -> Path:
    """The workspace of the shared database."""
    return Path(tracking_uri.removeprefix("sqlite:///")).parents[1]


@pytest.fixture
def parent(tracking_uri, monkeypatch, request):
    """A pipeline run of this test's name on the shared database."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    monkeypatch.setenv("LABRAM_RUN", request.node.name)
    run_id = mlflow_runs.open_parent_run({}, {})
    return lambda: MlflowClient().get_run(run_id)


def fail(step: str, folder, label: str = "") -> None:
    error = PlatformError("the disk is full", remedy="Free some space")
    with pytest.raises(PlatformError), mlflow_runs.tracked(step, folder, label=label):
        raise error


def test_a_step_that_fails_ends_the_whole_run_with_its_message(parent, workspace) -> None:
    fail("finetune", workspace, "gait")
    run = parent()
    assert run.info.status == "FAILED"
    assert run.data.tags["outcome"] == "error"
    assert run.data.tags["failed_step"] == "finetune gait"
    assert run.data.tags["failure"] == "the disk is full. Free some space."


def test_another_step_does_not_hide_it_and_the_same_step_reopens_the_run(parent, workspace) -> None:
    fail("finetune", workspace, "gait")
    with mlflow_runs.tracked("finetune", workspace, label="abnormal"):
        assert parent().info.status == "FAILED"
    with mlflow_runs.tracked("finetune", workspace, label="gait") as run:
        assert "failure" not in MlflowClient().get_run(run.run_id).data.tags
        reopened = parent()
        assert reopened.info.status == "RUNNING"
        assert not {"outcome", "failed_step", "failure"} & set(reopened.data.tags)


def test_an_error_of_the_code_is_recorded_with_its_class(parent, workspace) -> None:
    with pytest.raises(ZeroDivisionError), mlflow_runs.tracked("tokenizer", workspace):
        1 / 0  # noqa: B018
    assert parent().data.tags["failure"] == "ZeroDivisionError: division by zero"


def test_an_unchanged_run_has_a_record_that_is_never_repeated_itself(parent, monkeypatch) -> None:
    identity = {"pipeline": "retrain", "recipe_hash": "abc", "code_version": "c"}
    earlier = {"labram.run": "before", "outcome": "not promoted"}
    monkeypatch.setenv("LABRAM_RUN", "unchanged-run")
    mlflow_runs.record_unchanged({"pipeline": "retrain", "recipe": "demo"}, earlier)
    (run,) = MlflowClient().search_runs(
        [mlflow_runs.experiment_id(MlflowClient())], "tags.`labram.run` = 'unchanged-run'"
    )
    recorded = {name: run.data.tags[name] for name in ("outcome", "since", "repeats")}
    assert recorded == {"outcome": "unchanged", "since": "before", "repeats": "not promoted"}
    assert run.info.status == "FINISHED"
    assert mlflow_runs.latest_finished_run(identity) is None


def test_progress_is_a_metric_where_no_terminal_follows(parent, workspace, tmp_path, monkeypatch) -> None:
    with mlflow_runs.tracked("pretrain", workspace) as run:
        run.progress(30, 100)
    assert MlflowClient().get_run(run.run_id).data.metrics["progress"] == 0.3
    monkeypatch.setenv("LABRAM_EVENTS", str(tmp_path / "events"))
    with mlflow_runs.tracked("tokenizer", workspace) as run:
        run.progress(30, 100)
    assert "progress" not in MlflowClient().get_run(run.run_id).data.metrics


def test_kubernetes_gets_the_message_of_a_failed_step(tmp_path, monkeypatch) -> None:
    """Argo shows the container's termination message with the failed task, and KFP Argo's."""
    monkeypatch.setattr(events, "TERMINATION_MESSAGE", tmp_path / "message")
    with pytest.raises(PlatformError), events.step("preflight"):
        raise PlatformError("outside a pod", remedy="Do nothing")
    assert not (tmp_path / "message").exists()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(PlatformError), events.step("preflight"):
        raise PlatformError("no MLflow, " + "é" * 4096, remedy="Start it")
    written = (tmp_path / "message").read_bytes()
    assert written.startswith("preflight: no MLflow, é".encode())
    assert len(written) == 4096
