"""The command line: help that teaches, errors that are one sentence, exit codes that mean something."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Labram = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a clone, there is no corpus to find."""
    monkeypatch.chdir(tmp_path)


SCRIPT, MODULE = (str(Path(sys.executable).with_name("labram")),), (sys.executable, "-m", "labram")


def in_a_process(*arguments: object, command: Sequence[str] = SCRIPT) -> tuple[int, str, str]:
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "command", ["", "run", "adapt", "study", "evaluate", "corpus", "recipe", "models", "weights", "bench"]
)
def test_every_command_explains_itself(labram: Labram, command: str) -> None:
    code, out, _ = labram(*command.split(), "--help")
    assert code == 0
    assert "Usage" in out


def test_a_folder_that_does_not_exist_is_one_clear_error(tmp_path: Path) -> None:
    code, out, errors = in_a_process("run", "--data", tmp_path / "nowhere", command=MODULE)
    assert code == 1
    assert "folder not found" in errors
    assert "Traceback" not in out + errors


def test_a_backbone_that_does_not_exist_is_one_clear_error(labram: Labram, tmp_path: Path) -> None:
    code, _, errors = labram("adapt", tmp_path / "labram-base.pth", "--data", tmp_path)
    assert code == 1
    assert "backbone not found" in errors
    assert "models:/labram-backbone@champion" in errors


@pytest.mark.parametrize(("job", "lack"), [("adapt", "no tasks to adapt to"), ("study", "a study needs a task")])
def test_a_recipe_that_is_none_for_the_job_is_one_clear_error(
    labram: Labram, job: str, lack: str, tmp_path: Path
) -> None:
    code, _, errors = labram(job, "--data", tmp_path, "--recipe", "demo", "--set", "tasks=[]")
    assert code == 1
    assert lack in errors


def test_an_unknown_recipe_key_is_one_clear_error(labram: Labram) -> None:
    code, _, errors = labram("run", "--set", "tokeniser.steps=3")
    assert code == 1
    assert "unknown key" in errors
    assert "Did you mean 'tokenizer'" in errors


def test_without_data_and_without_a_clone_the_way_on_is_named(labram: Labram) -> None:
    code, _, errors = labram("run")
    assert code == 1
    assert "Give --data FOLDER" in errors


def test_a_folder_without_eeg_is_one_clear_error(tmp_path: Path) -> None:
    data = tmp_path / "recordings"
    data.mkdir()
    (data / "notes.txt").write_text("nothing to see")
    code, out, errors = in_a_process("run", "--data", data, "--recipe", "real-small")
    assert code == 1
    assert "Traceback" not in out + errors
    assert "--data" in out + errors


def test_recipes_can_be_listed_and_shown(labram: Labram) -> None:
    assert "real-small" in labram("recipe", "list")[1]
    assert "seed: 5" in labram("recipe", "show", "demo", "--set", "seed=5")[1]
    assert "tokenizer.min_perplexity" in labram("recipe", "keys")[1]
