"""What a pipeline run that fails or is stopped leaves in MLflow."""

import os
import time

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from labram.errors import PlatformError
from labram.tracking import mlflow_runs


def test_abandoning_ends_what_is_running_of_that_run_alone(tracking_uri, monkeypatch):
    ids = {}
    for name in ("left", "other"):
        monkeypatch.setenv("LABRAM_RUN", name)
        ids[name] = mlflow_runs.open_parent_run({}, {})
    assert mlflow_runs.terminate_runs("left", "KILLED")
    assert {name: MlflowClient().get_run(run_id).info.status for name, run_id in ids.items()} == {
        "left": "KILLED",
        "other": "RUNNING",
    }


def test_a_server_that_is_away_is_not_waited_for(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    mlflow_runs.configure(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    assert not mlflow_runs.terminate_runs("left", "FAILED")
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "7"


def test_a_step_that_begins_while_it_is_away_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    away = pytest.raises(PlatformError, match=r"MLFLOW_TRACKING_URI.*did not create a run.*labram doctor")
    with away, mlflow_runs.tracked("tokenizer", tmp_path):
        pytest.fail("the step began")


def test_final_metrics_of_a_step_that_was_killed_and_ran_again_stand_once(tracking_uri, monkeypatch, tmp_path):
    monkeypatch.setenv("LABRAM_RUN", "killed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    for _ in range(2):
        with mlflow_runs.tracked("tokenizer", tmp_path) as run:
            run.summarise({"final/loss": 0.5})
            time.sleep(0.01)
    assert [point.value for point in MlflowClient().get_metric_history(run.run_id, "final/loss")] == [0.5]


def test_a_failing_clean_up_does_not_replace_the_error_of_the_step(tracking_uri, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)

    def away(*_):
        raise MlflowException("away")

    monkeypatch.setattr(MlflowClient, "set_terminated", away)
    with pytest.raises(ValueError, match="the step's own"), mlflow_runs.tracked("tokenizer", tmp_path):
        raise ValueError("the step's own")
