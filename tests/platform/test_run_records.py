"""`--wait` needs MLflow, and says so before anything is started."""

import pytest

from labram.errors import PlatformError
from labram.platform import run_records


@pytest.mark.parametrize("uri", ["", "sqlite:////tmp/mlflow.db"])
def test_a_server_must_be_named(monkeypatch, uri) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(PlatformError, match=r"MLFLOW_TRACKING_URI: the outcome.*port-forward svc/mlflow"):
        run_records.connect()


@pytest.mark.parametrize(("status", "said"), [(401, "requires an account"), (500, "responds with 500")])
def test_a_server_that_does_not_accept_the_account_is_named(host, state, monkeypatch, status, said) -> None:
    state.tracking = status
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{host}/mlflow")
    with pytest.raises(PlatformError, match=said):
        run_records.connect()
