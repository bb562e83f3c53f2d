"""What all tests share: where the real recordings are, a quiet MLflow, and an object store."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")
_OURS = tuple(f"LABRAM_{name}" for name in ("RUN", "EVENTS", "WORKSPACE", "STORE", "SUBJECT_KEY", "PIPELINE_ROOT"))
for inherited in ("MLFLOW_TRACKING_URI", *_OURS):
    os.environ.pop(inherited, None)


@pytest.fixture(scope="session")
def real_eeg() -> Path:
    """The folder of real recordings; they are never part of the project."""
    folder = Path(os.environ.get("LABRAM_REAL_EEG", ROOT.parent / "shared" / "eeg"))
    if not folder.is_dir():
        pytest.skip("no real recordings here: set LABRAM_REAL_EEG to a folder of them")
    return folder


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A server of the S3 API on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of an empty bucket, with the variables by which the standard clients find it."""
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tester")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = f"b{secrets.token_hex(8)}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}"
