"""The commands that reports state can be run as they are, in the workspace, with the folder of recordings in DATA."""

import re
import shlex
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
import typer

from labram import recipe as recipes
from labram.cli import app
from labram.reporting import commands, plots, run_report, study
from labram.reporting.run_report import RunRecord

LABRAM = typer.main.get_command(app)
PATH = "/somewhere/else/base.pth"


@pytest.fixture(autouse=True)
def words_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "markup", lambda _, *, name, alt: f'<svg id="{name}-figure_1"><!--{len(alt)}--></svg>')


def stated(page: Path) -> list[str]:
    return [
        unescape(command)
        for command in re.findall(r"<pre>(.*?)</pre>", page.read_text(encoding="utf-8"))
        if "\n" not in command
    ]


def parsed(command: str) -> tuple[str, dict[str, object]]:
    """Name and parameters of a command, as `labram` parses them."""
    program, name, *words = shlex.split(command)
    assert program == "labram"
    return name, LABRAM.commands[name].make_context(name, words).params


@pytest.fixture
def workspace(finished: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / commands.RUNS / finished.run_name
    folder.mkdir(parents=True)
    finished.recipe.write(folder / recipes.RUN_FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("start", "job", "backbone"),
    [
        ("", "run", None),
        ("models:/labram-backbone/3#abc", "adapt", "models:/labram-backbone/3"),
        (f"{PATH}#abc", "adapt", "BACKBONE"),
    ],
)
def test_the_commands_of_a_run_are_complete(workspace, finished, start, job, backbone) -> None:
    page = run_report.write(replace(finished, lineage={"backbone": start} if start else {}), workspace / "report.html")
    mlflow, evaluate, again = stated(page)
    assert mlflow == "mlflow ui --backend-store-uri sqlite:///mlflow/mlflow.db"
    name, values = parsed(evaluate)
    assert (name, values["model"], values["task"]) == ("evaluate", "models:/labram-workload/1", "workload")
    assert (values["data"], values["workspace"]) == (Path("$DATA"), Path())
    name, values = parsed(again)
    assert (name, values.get("backbone"), values["force"]) == (job, backbone, True)
    assert (values["data"], values["workspace"]) == (Path("$DATA"), Path())
    assert recipes.load(str(values["recipe"])).digest() == finished.recipe.digest()
    assert not any(PATH in command for command in (mlflow, evaluate, again))


def test_a_run_without_registered_models_states_no_evaluation_and_one_on_a_server_no_database(
    workspace, finished
) -> None:
    page = run_report.write(replace(finished, verdicts=(), own_database=False), workspace / "report.html")
    assert [parsed(command)[0] for command in stated(page)] == ["run"]


def test_the_command_of_a_study_is_complete(workspace, finished) -> None:
    name, values = parsed(commands.reproduce("study", finished.run_name, "models:/labram-backbone/3#abc")[1])
    assert (name, values["backbone"], values["workspace"]) == ("study", "models:/labram-backbone/3", Path())
    record = study.StudyRecord(finished.run_name, finished.recipe, "corpus", False, (), {"backbone": "models:/b/1#x"})
    page = study.write(record, workspace / "report.html")
    assert [parsed(command)[0] for command in stated(page)] == ["study"]
