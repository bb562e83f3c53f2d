"""What all tests share: where the real recordings are, a quiet MLflow, and an object store."""

import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import servers

ROOT = Path(__file__).parents[1]
pytest_plugins = ["tests.fixtures.mlflow_server", "tests.fixtures.recordings", "tests.fixtures.tracking"]
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")
_OURS = tuple(f"LABRAM_{name}" for name in ("RUN", "EVENTS", "WORKSPACE", "STORE", "SUBJECT_KEY", "PIPELINE_ROOT"))
for inherited in ("MLFLOW_TRACKING_URI", *_OURS):
    os.environ.pop(inherited, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with whole pipelines, which take longest: a worker that starts them last keeps the others waiting."""
    items.sort(key=lambda item: item.get_closest_marker("pipeline") is None)


@pytest.fixture(autouse=True)
def _mlflow_as_it_was() -> Iterator[None]:
    """MLflow keeps the address of its server in a variable and in itself; a test leaves both as they were."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    if before is not None:
        os.environ["MLFLOW_TRACKING_URI"] = before
    if "mlflow" in sys.modules:
        sys.modules["mlflow"].set_tracking_uri(before)


@pytest.fixture(scope="session")
def real_eeg() -> Path:
    """The folder of real recordings; they are never part of the project."""
    folder = Path(os.environ.get("LABRAM_REAL_EEG", ROOT.parent / "shared" / "eeg"))
    if not folder.is_dir():
        pytest.skip("no real recordings here: set LABRAM_REAL_EEG to a folder of them")
    return folder


@pytest.fixture(scope="session")
def object_store(tmp_path_factory) -> Iterator[dict[str, str]]:
    """A server of the S3 API on this machine: the variables by which clients find it."""
    with servers.object_store(tmp_path_factory.mktemp("s3") / "log") as variables:
        yield variables


@pytest.fixture
def bucket(object_store: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of an empty bucket, with the variables by which the standard clients find it."""
    import boto3

    for name, value in object_store.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = f"b{secrets.token_hex(8)}"
    boto3.session.Session().client("s3").create_bucket(Bucket=name)
    return f"s3://{name}"
