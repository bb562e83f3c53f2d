"""`labram corpus add`, `version`, `diff` and `pull`, as a user types them."""

import json
import subprocess
import sys
from pathlib import Path

LABRAM = Path(sys.executable).with_name("labram")


def labram(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LABRAM, "corpus", *arguments], cwd=folder, capture_output=True, text=True, timeout=120)


def commit(folder: Path) -> None:
    for arguments in (("add", "."), ("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "corpus")):
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def test_a_corpus_goes_through_its_versions(tmp_path: Path) -> None:
    project, lab = tmp_path / "project", tmp_path / "lab"
    for folder in (project, lab):
        folder.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    (lab / "a.edf").write_bytes(b"a")
    added = labram(project, "add", str(lab))
    assert added.returncode == 0, added.stderr
    assert "git commit" in added.stdout
    assert "no data.dvc is committed" in labram(project, "version").stderr
    commit(project)
    assert labram(project, "version").stdout.splitlines()[0] in added.stdout
    (lab / "b.edf").write_bytes(b"b")
    assert labram(project, "add", str(lab)).returncode == 0
    told = labram(project, "version", "--json")
    assert told.returncode == 3
    assert json.loads(told.stdout)["state"] == "uncommitted"
    commit(project)
    found = labram(project, "diff", "HEAD~1", "HEAD").stdout
    assert "+ lab/b.edf" in found
    assert "1 recordings added, 0 removed, 0 changed" in found
    assert labram(project, "pull", "--rev", "HEAD~1", "--out", str(tmp_path / "first")).returncode == 0
    assert [path.name for path in (tmp_path / "first" / "lab").iterdir()] == ["a.edf"]


def test_where_there_is_no_corpus_the_way_on_is_named(tmp_path: Path) -> None:
    done = labram(tmp_path, "pull")
    assert done.returncode == 1
    assert "--repo" in done.stderr
