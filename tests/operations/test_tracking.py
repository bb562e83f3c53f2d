"""What a pipeline run that fails or is stopped leaves in MLflow."""

import pytest
from mlflow.tracking import MlflowClient

from labram.operations import tracking


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """`abandon` shortens MLflow's patience for the rest of its process."""
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(name, "7")


def test_abandoning_ends_what_is_running_of_that_run_alone(tracking_uri, monkeypatch):
    ids = {}
    for name in ("left", "other"):
        monkeypatch.setenv("LABRAM_RUN", name)
        ids[name] = tracking.open_parent({}, {})
    assert tracking.abandon("left", "KILLED")
    assert {name: MlflowClient().get_run(run_id).info.status for name, run_id in ids.items()} == {
        "left": "KILLED",
        "other": "RUNNING",
    }


def test_a_server_that_is_away_is_not_waited_for(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    tracking.configure(tmp_path)
    assert not tracking.abandon("left", "FAILED")
