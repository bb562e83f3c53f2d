"""`labram corpus add`, `version`, `diff` and `pull`, as a user types them."""

import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from labram.cli import app
from labram.errors import CorpusError


def labram(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["corpus", *arguments])


def commit(folder: Path) -> None:
    for arguments in (("add", "."), ("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "corpus")):
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def test_a_corpus_goes_through_its_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, lab = tmp_path / "project", tmp_path / "lab"
    for folder in (project, lab):
        folder.mkdir()
    monkeypatch.chdir(project)
    subprocess.run(["git", "init", "--quiet"], check=True)
    (lab / "a.edf").write_bytes(b"a")
    added = labram("add", str(lab))
    assert added.exit_code == 0
    assert "git commit" in added.stdout
    with pytest.raises(CorpusError, match=r"no data\.dvc is committed"):
        raise labram("version").exception or AssertionError
    commit(project)
    assert labram("version").stdout.splitlines()[0] in added.stdout
    (lab / "b.edf").write_bytes(b"b")
    assert labram("add", str(lab)).exit_code == 0
    told = labram("version", "--json")
    assert told.exit_code == 3
    assert json.loads(told.stdout)["state"] == "uncommitted"
    commit(project)
    found = labram("diff", "HEAD~1", "HEAD").stdout
    assert "+ lab/b.edf" in found
    assert "1 recordings added, 0 removed, 0 changed" in found
    assert labram("pull", "--rev", "HEAD~1", "--out", str(tmp_path / "first")).exit_code == 0
    assert [path.name for path in (tmp_path / "first" / "lab").iterdir()] == ["a.edf"]


def test_where_there_is_no_corpus_the_way_on_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match="--repo"):
        raise labram("pull").exception or AssertionError
