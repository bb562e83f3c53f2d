"""The command line: help that teaches, errors that are one sentence, exit codes that mean something."""

import subprocess
import sys
from pathlib import Path

import pytest

LABRAM = Path(sys.executable).with_name("labram")


def labram(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LABRAM, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "command", ["", "run", "adapt", "study", "evaluate", "corpus", "recipe", "models", "weights", "bench"]
)
def test_every_command_explains_itself(command: str, tmp_path: Path) -> None:
    done = labram(*command.split(), "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_a_folder_that_does_not_exist_is_one_clear_error(tmp_path: Path) -> None:
    done = labram("run", "--data", tmp_path / "nowhere", cwd=tmp_path)
    assert done.returncode == 1
    assert "folder not found" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_backbone_that_does_not_exist_is_one_clear_error(tmp_path: Path) -> None:
    done = labram("adapt", tmp_path / "labram-base.pth", "--data", tmp_path, cwd=tmp_path)
    assert done.returncode == 1
    assert "backbone not found" in done.stderr
    assert "models:/labram-backbone@champion" in done.stderr


@pytest.mark.parametrize(("job", "lack"), [("adapt", "no tasks to adapt to"), ("study", "a study needs a task")])
def test_a_recipe_that_is_none_for_the_job_is_one_clear_error(job: str, lack: str, tmp_path: Path) -> None:
    done = labram(job, "--data", tmp_path, "--recipe", "demo", "--set", "tasks=[]", cwd=tmp_path)
    assert done.returncode == 1
    assert lack in done.stderr


def test_an_unknown_recipe_key_is_one_clear_error(tmp_path: Path) -> None:
    done = labram("run", "--set", "tokeniser.steps=3", cwd=tmp_path)
    assert done.returncode == 1
    assert "unknown key" in done.stderr
    assert "Did you mean 'tokenizer'" in done.stderr


def test_without_data_and_without_a_clone_the_way_on_is_named(tmp_path: Path) -> None:
    done = labram("run", cwd=tmp_path)
    assert done.returncode == 1
    assert "Give --data FOLDER" in done.stderr


@pytest.mark.parametrize("content", [None, "notes.txt"], ids=["empty", "no EEG"])
def test_a_folder_without_eeg_is_one_clear_error(content: str | None, tmp_path: Path) -> None:
    data = tmp_path / "recordings"
    data.mkdir()
    if content:
        (data / content).write_text("nothing to see")
    done = labram("run", "--data", data, "--recipe", "real-small", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "--data" in done.stdout + done.stderr


def test_recipes_can_be_listed_and_shown(tmp_path: Path) -> None:
    assert "real-small" in labram("recipe", "list", cwd=tmp_path).stdout
    shown = labram("recipe", "show", "demo", "--set", "seed=5", cwd=tmp_path).stdout
    assert "seed: 5" in shown
    assert "tokenizer.min_perplexity" in labram("recipe", "keys", cwd=tmp_path).stdout
