import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from labram.platform import local_runs
from labram.platform.local_runs import LocalRun
from labram.scratch_folder import PREFIX, scratch_folder, shared_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_what_processes_of_a_run_leave_behind_is_deleted(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As KFP's runner: a folder of the shell for each task, and one of Python for the run."""
    code = "import subprocess, tempfile; subprocess.run(['mktemp', '-d'], check=True); print(tempfile.mkdtemp())"
    (tmp_path / "leaves_folders.py").write_text(code)
    monkeypatch.setattr(local_runs, "RUNNER_MODULE", "leaves_folders")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    (tmp_path / "run").mkdir()
    run = LocalRun("r", tmp_path / "run", resumed=False)
    with scratch_folder() as scratch:
        process = local_runs.start(run, tmp_path, scratch)
        assert process.wait() == 0, (run.folder / local_runs.LOG).read_text(encoding="utf-8")
        left = (run.folder / local_runs.LOG).read_text(encoding="utf-8").split()
        assert len(left) == 2
        assert {Path(path).parent for path in left} == {scratch}
    assert list(temporary.iterdir()) == []


def test_folders_of_killed_runs_are_deleted_by_the_next(temporary: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    abandoned, used = temporary / f"{PREFIX}{ended.pid}-a", temporary / f"{PREFIX}{os.getppid()}-b"
    others = temporary / f"{PREFIX}x"
    for folder in (abandoned, used, others):
        (folder / "tmp").mkdir(parents=True)
    with scratch_folder():
        assert not abandoned.exists()
        assert used.is_dir()
        assert others.is_dir()


def test_a_lock_of_the_machine_is_shared_by_all_runs(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shared_folder() == temporary
    with scratch_folder() as scratch:
        monkeypatch.setattr(tempfile, "tempdir", str(scratch))
        assert shared_folder() == temporary
