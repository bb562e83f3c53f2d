"""A pod's log: every line is JSON and bears the ids of its run and task, whatever wrote it."""

import json
import logging
import os
import subprocess
import sys
from itertools import dropwhile

import pytest

from labram import events, logs

COMPONENT = """
def task(ending: str):
    import logging, warnings
    from labram.errors import CorpusError
    from labram.events import step
    with step("pretrain") as reporter:
        reporter.progress(120, 4000, loss=5.314)
        reporter.progress(121, 4000, loss=5.313)
        reporter.progress(4000, 4000)
        reporter.note("resumed at step 119")
        warnings.warn("a library's warning")
        logging.getLogger("mlflow").info("a library's word")
        logging.getLogger("mlflow").warning("a library's warning")
        if ending == "refused":
            raise CorpusError("there is no EEG", file="/raw/Anna M/x.edf", remedy="Give another folder")
        if ending == "broken":
            open("/raw/Anna M/x.edf")
"""


def pod(tmp_path, ending: str) -> tuple[int, list[str]]:
    """Runs a component as KFP does in a pod; gives its exit code, and what it wrote from its own first word on."""
    (tmp_path / "component.py").write_text(COMPONENT)
    given = {
        "inputs": {"parameterValues": {"ending": ending}},
        "outputs": {"outputFile": str(tmp_path / "executor_output.json")},
    }
    command = [sys.executable, "-m", "kfp.dsl.executor_main", "--component_module_path", str(tmp_path / "component.py")]
    command += ["--function_to_execute", "task", "--executor_input", json.dumps(given)]
    environment = {"LABRAM_LOG": "json", "LABRAM_RUN": "run-1", "LABRAM_TASK": "retrain-x-pod", "_KFP_RUNTIME": "true"}
    done = subprocess.run(
        command, env={**os.environ, **environment, "LABRAM_CORPUS": "/raw/Anna M"}, capture_output=True, text=True
    )
    assert not done.stderr
    return done.returncode, [*dropwhile(lambda line: '"started"' not in line, done.stdout.splitlines())]


def test_each_line_of_a_pod_is_json_with_the_ids_of_run_and_task(tmp_path) -> None:
    code, written = pod(tmp_path, "well")
    lines = [json.loads(line) for line in written]
    assert code == 0
    assert {(line["run"], line["task"]) for line in lines} == {("run-1", "retrain-x-pod")}
    assert [line["event"] for line in lines if "event" in line] == [
        *("started", "progress", "progress", "note", "finished")
    ]
    progress = lines[1]
    assert (progress["step"], progress["done"], progress["total"], progress["metrics"]) == (
        *("pretrain", 120, 4000, {"loss": 5.314}),
    )
    assert progress["message"] == "pretrain: 120 of 4000  loss 5.314"
    assert {line["logger"] for line in lines} >= {"labram", "mlflow", "py.warnings"}
    assert not any("a library's word" in line["message"] for line in lines), "libraries log warnings alone"


def test_a_users_error_is_its_words_and_what_to_do(tmp_path) -> None:
    code, written = pod(tmp_path, "refused")
    last = json.loads(written[-1])
    assert code == 1
    assert last["level"] == "critical"
    assert last["message"] == "CorpusError: --data: there is no EEG. Give another folder."
    assert "traceback" not in last
    assert not any("Anna" in line for line in written)


def test_a_defect_comes_with_its_traceback_and_without_paths_of_the_corpus(tmp_path) -> None:
    code, written = pod(tmp_path, "broken")
    last = json.loads(written[-1])
    assert code == 1
    assert "FileNotFoundError" in last["traceback"]
    assert "in task" in last["traceback"]
    assert not any("Anna" in line for line in written)


def test_without_the_variable_logging_is_left_as_it_is(monkeypatch) -> None:
    monkeypatch.delenv(logs.VARIABLE, raising=False)
    before = list(logging.root.handlers)
    logs.configure()
    assert logging.root.handlers == before
    assert sys.excepthook is not logs._log_uncaught


@pytest.mark.parametrize(("event", "level"), [("note", "INFO"), ("failed", "ERROR")])
def test_events_speak_to_people_too(caplog, event, level) -> None:
    with caplog.at_level(logging.INFO):
        events.emit(event, step="evaluate gait", text="one subject only")
    (record,) = caplog.records
    assert (record.levelname, record.message) == (level, "evaluate gait: one subject only")


def test_what_only_begins_like_the_corpus_folder_is_left(monkeypatch) -> None:
    monkeypatch.setenv(logs.CORPUS_VARIABLE, "/workspace/data")
    assert logs.redact_paths("'/workspace/data/a.edf' of /workspace/database") == "'--data' of /workspace/database"


@pytest.mark.parametrize("locale", ["POSIX", "C.UTF-8"])
def test_names_on_disk_are_utf8_in_any_locale_and_output_keeps_its_encoding(tmp_path, locale):
    (tmp_path / "VP01_Köln.vhdr").touch()
    program = (
        "import os, sys; from labram import logs; logs.restart_in_utf8(); logs.escape_unencodable();"
        "assert os.listdir(sys.argv[1]) == ['VP01_K\\xf6ln.vhdr']; print('K\\xf6ln')"
    )
    environment = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", program, tmp_path], env=environment, capture_output=True, check=True)
    assert done.stdout == (b"K\\xf6ln\n" if locale == "POSIX" else "Köln\n".encode())
