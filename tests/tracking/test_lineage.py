"""Lineage states the commit of the code that runs, never that of a repository which happens to be near."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from labram import git
from labram.git import NOT_KNOWN, SourceState
from labram.recipe import load
from labram.tracking import lineage

ROOT = Path(__file__).parents[2]
STATE = "from labram.tracking import lineage; print(*lineage.source_state(), lineage.__file__)"


def repository(folder: Path) -> str:
    """Make a repository with one commit of everything in the folder, and return the commit."""
    identity = ("-c", "user.email=a@b", "-c", "user.name=n")
    folder.mkdir(exist_ok=True)
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)
    return str(git.git(folder, "rev-parse", "HEAD")).strip()


def copy_of_the_code(folder: Path) -> Path:
    """Copy the modules that lineage imports, without the project's git repository."""
    for path in [ROOT / "pyproject.toml", *(ROOT / "labram").rglob("*.py"), *(ROOT / "labram").rglob("*.yaml")]:
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return folder


def state_of(code: Path, **variables: str) -> str:
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "PYTHONPATH": str(code), **variables}
    done = subprocess.run(
        [sys.executable, "-P", "-c", STATE], env=environment, capture_output=True, text=True, check=True
    )
    state, _, file = done.stdout.strip().rpartition(" ")
    assert file == str(code / "labram" / "tracking" / "lineage.py")
    return state


def test_a_checkout_states_its_own_commit_whatever_git_variables_are_exported(tmp_path) -> None:
    code = copy_of_the_code(tmp_path / "code")
    own, other = repository(code), repository(tmp_path / "other")
    assert own != other
    variables = {"GIT_DIR": f"{tmp_path}/other/.git", "GIT_WORK_TREE": f"{tmp_path}/other", "GIT_INDEX_FILE": "/x"}
    assert state_of(code, **variables) == f"{own} False"
    (code / "pyproject.toml").open("a").write("\n")
    assert state_of(code, **variables) == f"{own} True"


def test_files_of_another_owner_do_not_hide_the_commit(tmp_path) -> None:
    commit = repository(tmp_path)
    (tmp_path / "changed").write_text("x")
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    script = f"from pathlib import Path; from labram import git; print(git.source_state(Path({str(tmp_path)!r})))"
    # git's own switch for tests; `source_state` drops it with all GIT_ variables, so it is set in git's place
    stub = tmp_path.parent / f"{tmp_path.name}-bin"
    stub.mkdir()
    (stub / "git").write_text('#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 PATH=/usr/bin:/bin exec git "$@"\n')
    (stub / "git").chmod(0o755)
    environment = {"PATH": f"{stub}:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(stub)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(SourceState(commit, dirty=True))


def test_code_inside_another_repository_has_no_known_commit(tmp_path) -> None:
    repository(tmp_path)
    assert state_of(copy_of_the_code(tmp_path / "vendored")) == "unknown None"
    (tmp_path / "vendored" / "pyproject.toml").unlink()  # as in site-packages
    assert state_of(tmp_path / "vendored") == "unknown None"


@pytest.mark.parametrize(("state", "stated"), [(NOT_KNOWN, "unknown"), (SourceState("a", dirty=False), "false")])
def test_what_is_not_known_is_never_clean(monkeypatch, state, stated) -> None:
    monkeypatch.setattr(lineage, "source_state", lambda: state)
    tags = lineage.lineage_tags(load("demo"), "v")
    assert (tags["git_commit"], tags["git_dirty"]) == (state.commit, stated)
    assert lineage.image_tag().startswith("source-" if state == NOT_KNOWN else "a-")
    assert SourceState.from_label(state.label) == state


def test_an_unborn_or_absent_repository_is_not_known(tmp_path) -> None:
    assert git.source_state(tmp_path) == NOT_KNOWN
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert git.source_state(tmp_path) == NOT_KNOWN


def test_a_wheel_carries_its_commit(tmp_path) -> None:
    code = copy_of_the_code(tmp_path / "code")
    for name in ("setup.py", "README.md", "LICENSE"):
        (code / name).write_bytes((ROOT / name).read_bytes())
    (code / ".gitignore").write_text("*.egg-info\nbuild\n")
    commit = repository(code)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), "."]
    subprocess.run(pip, cwd=code, check=True, capture_output=True)
    installed = tmp_path / "site-packages"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(installed)
    repository(tmp_path)
    assert state_of(installed, GIT_DIR=f"{tmp_path}/.git") == f"{commit} False"


@pytest.mark.parametrize(
    ("path", "dirty"), [("labram/datasets/new.py", True), ("components/new.py", True), ("notes.txt", False)]
)
def test_untracked_code_is_a_change_and_other_files_are_none(tmp_path, path, dirty) -> None:
    commit = repository(tmp_path)
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("x")
    assert git.source_state(tmp_path) == SourceState(commit, dirty=dirty)


def test_uncommitted_changes_are_a_patch_with_new_files_that_restores_them(tmp_path) -> None:
    code = tmp_path / "code"
    (code / "labram").mkdir(parents=True)
    (code / "labram" / "a.py").write_text("a = 1\n")
    (code / "notes.txt").write_text("private\n")
    repository(code)
    assert git.uncommitted_diff(code) == ""
    (code / "labram" / "a.py").write_text("a = 2\n")
    (code / "labram" / "b.py").write_text("b = 1\n")
    (code / "notes.txt").write_text("more\n")
    before = git.git(code, "status", "--porcelain"), sorted((code / ".git" / "objects").iterdir())
    patch = git.uncommitted_diff(code)
    assert "notes" not in patch
    assert (git.git(code, "status", "--porcelain"), sorted((code / ".git" / "objects").iterdir())) == before
    for command in (("reset", "-q", "--hard"), ("clean", "-qfd")):
        git.git(code, *command)
    (tmp_path / "patch").write_text(patch)
    assert git.git(code, "apply", str(tmp_path / "patch")) == ""
    assert [(code / "labram" / name).read_text() for name in ("a.py", "b.py")] == ["a = 2\n", "b = 1\n"]


def test_circumstances_name_actor_and_image_and_no_local_image(monkeypatch) -> None:
    monkeypatch.setenv("LABRAM_ACTOR", "eve")
    monkeypatch.setenv("LABRAM_IMAGE", "localhost/labram-python:abc")
    assert lineage.circumstances().keys() == {"actor", "platform"}
    monkeypatch.setenv("LABRAM_IMAGE", "registry/labram@sha256:55")
    assert lineage.circumstances()["image"] == "registry/labram@sha256:55"
    assert lineage.circumstances()["actor"] == "eve"


def test_a_run_states_its_seed_lock_and_packages() -> None:
    tags = lineage.lineage_tags(load("demo"), "v")
    assert tags["seed"] == str(load("demo").seed)
    assert tags["lock_hash"] == hashlib.sha256((ROOT / "constraints.txt").read_bytes()).hexdigest()[:12]
    assert len(tags["environment_hash"]) == 12


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        ("k8s/images/kustomization.yaml", []),
        ("k8s/overlays/cloud/kustomization.yaml", []),
        ("k8s/schedules.yaml", []),
        ("k8s/images/Dockerfile", ["k8s/images/Dockerfile"]),
        ("docs/page.md", ["docs/page.md"]),
    ],
)
def test_settings_of_an_installation_are_no_change_of_the_program(tmp_path, path, changed) -> None:
    """`make images` writes digests, and operators edit overlays: neither may keep a pipeline from being submitted."""
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text("before")
    commit = repository(tmp_path)
    (tmp_path / path).write_text("after")
    assert git.changes(tmp_path) == changed
    assert git.source_state(tmp_path) == SourceState(commit, dirty=bool(changed))
