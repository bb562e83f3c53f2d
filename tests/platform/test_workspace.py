"""Where a workspace keeps what."""

from pathlib import Path

import pytest

from labram.cli.run import _backbone_argument, _corpus
from labram.errors import PlatformError
from labram.platform import local_runs
from labram.platform.workspace import Workspace
from labram.recipe import load


@pytest.mark.parametrize("given", ["s3://bucket/patches", "/mnt/patches"])
def test_the_store_may_be_elsewhere(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Workspace.at(tmp_path).store == tmp_path / "store"
    monkeypatch.setenv("LABRAM_STORE", given)
    assert str(Workspace.at(tmp_path).store) == given


def test_a_relative_store_is_the_same_for_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABRAM_STORE", "patches")
    monkeypatch.chdir(tmp_path)
    assert Workspace.at(tmp_path).store == tmp_path / "patches"


@pytest.mark.parametrize("text", ["{{$.inputs}}", "x{{$}}", "%20", "?", "kfp-workspace"])
def test_a_path_that_kfp_or_mlflow_would_change_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(PlatformError, match="--workspace: the path must not contain"):
        Workspace.at(tmp_path / text)


@pytest.mark.parametrize("text", ["python3", "a#b", "kfp-workspaces-not", "ü 中", "{{x}}", "'quoted\"", "$HOME"])
def test_other_characters_may_stand_in_a_path(tmp_path: Path, text: str) -> None:
    if text.startswith("kfp"):
        text = f"my-{text}"
    assert Workspace.at(tmp_path / text).root == tmp_path / text
    (tmp_path / text).mkdir()
    assert _corpus(tmp_path / text) == tmp_path / text
    assert _backbone_argument(str(tmp_path / text)) == {"backbone": str(tmp_path / text)}


def test_a_line_of_events_that_a_full_disk_cut_short_is_skipped(tmp_path: Path) -> None:
    run = local_runs.create_or_resume(Workspace.at(tmp_path), "retrain", load("demo"), tmp_path)
    good = '{"event": "started", "step": "a"}\n'
    (run.folder / local_runs.EVENTS).write_text(good + '{"event": "prog\n' + "[]\n3\n{}\n" + good + '{"event"')

    class Ended:
        def poll(self) -> int:
            return 0

    assert [event["step"] for event in local_runs.follow(run, Ended())] == ["a", "a"]


def test_a_run_folder_without_its_files_is_no_run_to_resume(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    first = local_runs.create_or_resume(workspace, "retrain", load("demo"), tmp_path)
    (first.folder / local_runs.IDENTITY).write_bytes(b"\xff\xfe")
    (workspace.run("") / "a-file").touch()
    first.folder.rename(first.folder.with_name("older"))
    assert not local_runs.create_or_resume(workspace, "retrain", load("demo"), tmp_path).resumed
