"""Tasks as forks: they end, print, fail and die as processes of their own do."""

import json
import signal
from pathlib import Path

import pytest

from pipelines import warm_tasks

SCRIPT = f'_KFP_RUNTIME=true python3 -m {warm_tasks.EXECUTOR} "$@"'
PROGRAM = """
def {name}(mark: str) -> str:
    import os, random, signal, sys
    print("task", mark, os.environ["OF_THE_TASK"], "pipelines.warm_tasks" in sys.modules)
    print("error stream", file=sys.stderr)
    {body}
    return str(random.random())
"""


@pytest.fixture(autouse=True)
def few_libraries(monkeypatch) -> None:
    monkeypatch.setattr(warm_tasks, "PRELOAD", ("pipelines.warm_tasks", warm_tasks.EXECUTOR))
    warm_tasks.use()


def command(folder: Path, body: str = "pass", name: str = "quality") -> list[str]:
    output = {"parameters": {"Output": {"outputFile": str(folder / "output")}}, "outputFile": str(folder / "meta.json")}
    given = {"inputs": {"parameterValues": {"mark": "µ ✓"}}, "outputs": output}
    program = PROGRAM.format(name=name, body=body)
    return ["sh", "-ec", SCRIPT, program, "--executor_input", json.dumps(given), "--function_to_execute", name]


def returned(folder: Path) -> str:
    return json.loads((folder / "meta.json").read_text())["parameterValues"]["Output"]


def test_a_task_prints_and_leaves_its_outputs(tmp_path, capsys) -> None:
    assert warm_tasks.run_task(command(tmp_path), {"OF_THE_TASK": "x"}) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "task µ ✓ x True" in lines, "it is a fork of the process that has the libraries"
    assert "error stream" in lines
    assert 0 <= float(returned(tmp_path)) < 1


def test_tasks_do_not_share_their_random_numbers(tmp_path) -> None:
    drawn = set()
    for number in range(3):
        assert warm_tasks.run_task(command(tmp_path / str(number)), {"OF_THE_TASK": "x"}) == 0
        drawn.add(returned(tmp_path / str(number)))
    assert len(drawn) == 3


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("raise ValueError('wrong')", 1),
        ("sys.exit(143)", 143),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    ],
)
def test_a_task_that_fails_or_dies_is_a_failure(tmp_path, capsys, body, code) -> None:
    assert warm_tasks.run_task(command(tmp_path, body), {"OF_THE_TASK": "x"}) == code
    assert ("ValueError: wrong" in capsys.readouterr().out) == (code == 1)
    assert not (tmp_path / "meta.json").exists()


def test_what_ends_a_process_also_ends_a_task(tmp_path) -> None:
    body = f"import atexit; atexit.register(lambda: open({str(tmp_path / 'closed')!r}, 'w'))"
    assert warm_tasks.run_task(command(tmp_path, body), {"OF_THE_TASK": "x"}) == 0
    assert (tmp_path / "closed").exists()


def test_steps_that_need_few_libraries_do_not_wait_for_them(tmp_path, monkeypatch) -> None:
    started = []
    monkeypatch.setattr(warm_tasks, "_start_process", lambda command, variables: started.append(command[-1]) or 0)
    assert warm_tasks.run_task(command(tmp_path, name="plan_run"), {}) == 0
    assert started == ["plan_run"]


def test_where_no_fork_can_be_asked_for_a_task_is_a_process(tmp_path, monkeypatch) -> None:
    def refused(self) -> None:
        raise OSError("AF_UNIX path too long")

    started = []
    monkeypatch.setattr(warm_tasks, "_start_process", lambda command, variables: started.append(command[-1]) or 0)
    monkeypatch.setattr("multiprocessing.context.ForkServerProcess.start", refused)
    assert warm_tasks.run_task(command(tmp_path), {}) == 0
    assert started == ["quality"]
