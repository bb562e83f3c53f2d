"""What kubectl makes of the kustomizations."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

K8S = Path(__file__).parents[2] / "k8s"
FOLDERS = ["overlays/local", "overlays/cloud", "overlays/airgapped", "restore", "corpus"]


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[dict]]:
    """By folder, its documents."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    return {folder: _render(folder) for folder in FOLDERS}


def _render(folder: str) -> list[dict]:
    done = subprocess.run(["kubectl", "kustomize", str(K8S / folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="session")
def documents(rendered) -> list[dict]:
    """Every different document of any folder."""
    return list({yaml.safe_dump(item): item for items in rendered.values() for item in items}.values())
