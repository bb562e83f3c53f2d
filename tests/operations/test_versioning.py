"""The corpus version: DVC's where it vouches for the folder, a fingerprint elsewhere."""

import subprocess
import sys
from pathlib import Path

import pytest

from labram.corpus.simulate import Size, simulate
from labram.errors import CorpusError
from labram.events import Silent
from labram.operations import versioning

TINY = Size(patients=1, participants=1, walkers=1, sessions=1, events=1, trials=1, walk_seconds=10)


def dvc(project: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project whose simulated corpus is under DVC."""
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setattr(
        "labram.corpus.simulate.simulate", lambda out, *, monitor: simulate(out, size=TINY, monitor=monitor)
    )
    dvc(tmp_path, "init", "--no-scm", "-q")
    simulate(tmp_path / "data", size=TINY)
    dvc(tmp_path, "add", "-q", "data")
    return tmp_path


def remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(0o755)
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def test_the_version_is_dvcs_own_while_the_folder_is_what_it_recorded(project) -> None:
    version = versioning.corpus_version(project / "data", ())
    assert version.endswith(".dir")
    assert version in (project / "data.dvc").read_text()
    (project / "data" / "sim_lab" / "more.txt").write_text("changed")
    assert versioning.corpus_version(project / "data", ()).startswith("sha256-")


def test_data_come_back_from_the_cache(project) -> None:
    remove(project / "data")
    versioning.obtain(project / "data.dvc", Silent())
    assert dvc(project, "status", "data.dvc").strip().endswith("up to date.")


def test_without_cache_and_remote_they_are_simulated_again_and_checked(project) -> None:
    remove(project / "data")
    remove(project / ".dvc" / "cache")
    recorded = (project / "data.dvc").read_text()
    versioning.obtain(project / "data.dvc", Silent())
    assert (project / "data.dvc").read_text() == recorded
    assert dvc(project, "status", "data.dvc").strip().endswith("up to date.")


def test_another_simulation_is_refused(project, monkeypatch) -> None:
    remove(project / "data")
    remove(project / ".dvc" / "cache")
    monkeypatch.setattr(
        "labram.corpus.simulate.simulate", lambda out, *, monitor: simulate(out, seed=1, size=TINY, monitor=monitor)
    )
    recorded = (project / "data.dvc").read_text()
    with pytest.raises(CorpusError, match=r"not the one that data\.dvc records"):
        versioning.obtain(project / "data.dvc", Silent())
    assert (project / "data.dvc").read_text() == recorded
