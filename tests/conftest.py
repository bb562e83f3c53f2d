"""What all tests share: where the real recordings are, a quiet MLflow, and an object store."""

import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import servers

ROOT = Path(__file__).parents[1]
pytest_plugins = [
    "tests.fixtures.mlflow_server",
    "tests.fixtures.recordings",
    "tests.fixtures.small_models",
    "tests.fixtures.tiny_run",
    "tests.fixtures.tracking",
]
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")
LONGEST = (
    "pipelines/test_run.py",
    "training/test_stages.py",
    "evaluation/test_external_evaluation.py",
    "corpus/test_local_ingest.py",
    "training/distributed/test_launchers.py",
    "integration/test_services.py",
    "corpus/test_canary.py",
    "models/test_compilation.py",
    "training/test_loop.py",
    "reporting/test_report.py",
    "corpus/test_quality_real.py",
    "training/distributed/test_process_group.py",
    "corpus/test_quality.py",
    "reporting/test_report_in_browser.py",
)
"""Files by processor time, the longest first."""
_OURS = tuple(f"LABRAM_{name}" for name in ("RUN", "EVENTS", "WORKSPACE", "STORE", "SUBJECT_KEY", "PIPELINE_ROOT"))
for inherited in ("MLFLOW_TRACKING_URI", *_OURS):
    os.environ.pop(inherited, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that take longest: a worker that starts one of them last keeps the others waiting."""
    first = {str(ROOT / "tests" / name): place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get(str(item.path), len(first)))


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
