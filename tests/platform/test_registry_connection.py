"""Commands against the MLflow of a cluster: they work by the guide's settings, or name the missing one at once."""

import os
import time

import pytest
from typer.testing import CliRunner

from labram.cli import app
from labram.platform import registry_connection
from labram.tracking import mlflow_runs

COMMANDS = [
    ["models", "list"],
    ["models", "resolve", "models:/labram-gait@champion"],
    ["evaluate", "models:/labram-gait@champion", "--data", "x", "--task", "gait"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_server_that_cannot_be_reached_is_named_within_seconds(monkeypatch, command, tmp_path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    before = time.monotonic()
    done = CliRunner().invoke(app, [*command, "--workspace", str(tmp_path)])
    assert time.monotonic() - before < 10
    assert "MLFLOW_TRACKING_URI: MLflow: http://127.0.0.1:9 does not respond" in str(done.exception)
    assert "port-forward svc/mlflow" in str(done.exception)


@pytest.mark.parametrize(
    "command",
    [
        *(["models", verb, "labram-gait@champion"] for verb in ("show", "verify --key k", "approve")),
        ["models", "promote", "labram-gait", "--to", "1"],
        ["runs", "list"],
        ["reproduce", "models:/labram-gait@champion --upto pretrain"],
    ],
    ids=lambda command: command[1],
)
def test_a_fresh_clone_is_told_how_to_name_the_registry_and_gets_none(command, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    words = [word for part in command for word in part.split()]
    done = CliRunner().invoke(app, [*words, "--workspace", str(tmp_path / "absent")])
    assert "there is no registry here" in str(done.exception)
    assert "Name the original's workspace with --workspace, or its server with MLFLOW_TRACKING_URI" in str(
        done.exception
    )
    assert not (tmp_path / "absent").exists()


def test_a_rerun_up_to_an_unknown_step_is_no_rerun_of_everything(tmp_path) -> None:
    done = CliRunner().invoke(app, ["reproduce", "x", "--upto", "pretrian", "--workspace", str(tmp_path)])
    assert "there is no step 'pretrian'" in str(done.exception)


def test_a_missing_account_is_named(host, state, monkeypatch, tmp_path) -> None:
    state.tracking = 401
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{host}/mlflow")
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    done = CliRunner().invoke(app, ["models", "list", "--workspace", str(tmp_path)])
    assert "requires an account (401)" in str(done.exception)
    assert "MLFLOW_TRACKING_USERNAME" in str(done.exception)


def test_files_come_through_the_server_unless_a_user_wants_otherwise(host, state, monkeypatch, tmp_path) -> None:
    """Signed addresses of the bucket point into the cluster: from outside, a download would hang."""
    state.tracking = 200
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{host}/mlflow")
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "true")
    registry_connection.connect(tmp_path)
    assert os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"] == "true"
    monkeypatch.delenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD")
    mlflow_runs.configure(tmp_path)
    assert os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"] == "false"
