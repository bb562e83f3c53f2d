"""What all tests share: where the real recordings are, and a quiet MLflow."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")
_OURS = ("LABRAM_RUN", "LABRAM_EVENTS", "LABRAM_WORKSPACE", "LABRAM_STORE", "LABRAM_SUBJECT_KEY")
for inherited in ("MLFLOW_TRACKING_URI", *_OURS):
    os.environ.pop(inherited, None)


@pytest.fixture(scope="session")
def real_eeg() -> Path:
    """The folder of real recordings; they are never part of the project."""
    folder = Path(os.environ.get("LABRAM_REAL_EEG", ROOT.parent / "shared" / "eeg"))
    if not folder.is_dir():
        pytest.skip("no real recordings here: set LABRAM_REAL_EEG to a folder of them")
    return folder
