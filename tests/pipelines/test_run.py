"""The main job through the real command: run, run again, kill, corrupt, refuse. A small corpus and a tiny model."""

import json
import os
import re
import signal
import subprocess
import time
from html import unescape
from pathlib import Path

import pytest
import yaml

from tests.fixtures.tiny_run import LABRAM, command, environment, labram_run

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def recipe(tiny_recipe) -> Path:
    return tiny_recipe


@pytest.fixture(scope="module")
def one_task(recipe) -> Path:
    """The same with one task, and a study of it."""
    settings = yaml.safe_load(recipe.read_text()) | {"name": "one"}
    settings["tasks"] = [task for task in settings["tasks"] if task["name"] == "gait"]
    settings["gates"]["floors"] = {"gait": -1000.0}
    half = {"name": "scratch-half", "pretrained": False, "subjects": 0.5}
    settings["study"] = {"seeds": 1, "variants": [{"name": "pretrained"}, half]}
    path = recipe.with_name("one.yaml")
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="module")
def data(tiny_corpus) -> Path:
    return tiny_corpus


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("workspace")


def runs(workspace: Path) -> list[Path]:
    return sorted((workspace / "runs").iterdir())


def events(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def killed_then_finished(recipe, data, workspace) -> subprocess.CompletedProcess[str]:
    """A first run, killed as hard as can be while it pre-trains; then the same command again."""
    first = subprocess.Popen(
        command(recipe, data, workspace), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
    )
    deadline = time.monotonic() + 300
    while first.poll() is None and time.monotonic() < deadline:
        told = "".join(path.read_text() for path in workspace.glob("runs/*/events.jsonl"))
        if '"started", "step": "pretrain"' in re.sub(r'"time": [0-9.]+, ', "", told):
            break
        time.sleep(0.2)
    assert first.poll() is None, "it ended before it could be killed"
    first.send_signal(signal.SIGKILL)
    first.wait()
    return labram_run(recipe, data, workspace)


def test_a_killed_run_goes_on_where_it_was(killed_then_finished, workspace) -> None:
    done = killed_then_finished
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(runs(workspace)) == 1, "it is the same run"
    assert "resuming" in done.stdout
    reused = next(line for line in done.stdout.splitlines() if line.startswith("reused"))
    assert all(step in reused for step in ("ingest 0/2", "ingest 1/2", "quality", "tokenizer"))


def test_it_ends_with_a_table_a_report_and_champions(killed_then_finished, workspace) -> None:
    out = killed_then_finished.stdout
    for expected in ("abnormal", "gait", "auroc", "r2", "passed", "report.html", "mlflow ui"):
        assert expected in out
    result = json.loads((runs(workspace)[0] / "result.json").read_text())
    assert result["outcome"] == "promoted"
    assert {row["model"] for row in result["promotions"]} == {
        "labram-tokenizer", "labram-backbone", "labram-abnormal", "labram-gait"
    }  # fmt: skip
    assert (runs(workspace)[0] / "report.html").stat().st_size > 50_000


def test_tasks_leave_pages_and_classifications_a_confusion_matrix(killed_then_finished, workspace) -> None:
    pages = {path.parent.name: path.read_text() for path in (workspace / "pipeline").rglob("summary")}
    assert {"tokenizer", "pretrain", "finetune", "evaluate", "gate", "report"} <= set(pages)
    assert all("MLflow run `" in page for page in pages.values())
    assert "| loss |" in pages["tokenizer"]
    assert "| labram-gait version 1 | inference | passed |" in pages["gate"]
    matrices = [json.loads(path.read_text()) for path in (workspace / "pipeline").rglob("confusion")]
    (matrix,) = (found["confusionMatrix"] for found in matrices if found)
    assert [entry["displayName"] for entry in matrix["annotationSpecs"]] == ["normal", "abnormal"]


def test_a_corrupt_file_among_good_ones_is_a_quarantine_line(killed_then_finished, workspace) -> None:
    lines = [line for line in killed_then_finished.stdout.splitlines() if "broken.bdf" in line]
    assert len(lines) == 1
    assert "Traceback" not in killed_then_finished.stdout
    report = (runs(workspace)[0] / "report.html").read_text()
    assert "broken.bdf" not in report, "names of files stay on the terminal"


def test_where_the_corpus_is_and_what_its_files_are_called_stands_in_no_file(
    killed_then_finished, data, workspace
) -> None:
    sought = (str(data).encode(), b"broken.bdf")
    written = [path for path in workspace.rglob("*") if path.is_file()]
    assert {"pipeline.log", "request.json", "mlflow.db"} <= {path.name for path in written}
    assert [path for path in written if any(text in path.read_bytes() for text in sought)] == []


def test_mlflow_has_a_parent_run_with_a_nested_run_a_step(killed_then_finished, workspace, monkeypatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    from labram.tracking import mlflow_runs

    mlflow_runs.configure(workspace)
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    found = client.search_runs([mlflow_runs.experiment_id(client)])
    (parent,) = (run for run in found if run.data.tags[mlflow_runs.STEP_TAG] == mlflow_runs.PIPELINE)
    assert parent.info.status == "FINISHED"
    assert parent.data.params["tokenizer.steps"] == "6"
    assert {"git_commit", "corpus_version", "recipe_hash", "code_version"} <= set(parent.data.tags)
    steps = {run.data.tags[mlflow_runs.STEP_TAG]: run for run in found if run is not parent}
    assert {"ingest 0/2", "quality", "tokenizer", "pretrain", "finetune gait", "evaluate gait", "register"} <= set(
        steps
    )
    assert all(run.data.tags["mlflow.parentRunId"] == parent.info.run_id for run in steps.values())
    history = client.get_metric_history(steps["tokenizer"].info.run_id, "loss")
    assert [point.step for point in history] == [1, 2, 3, 4, 5, 6]


def test_a_second_run_with_nothing_changed_does_nothing_and_says_so(killed_then_finished, data, workspace) -> None:
    """The second command is the one that the report states."""
    page = unescape((runs(workspace)[0] / "report.html").read_text())
    (shown,) = re.findall(r"<pre>(labram run .*) --force</pre>", page)
    variables = environment() | {"DATA": str(data), "PATH": f"{LABRAM.parent}:{os.environ['PATH']}"}
    again = subprocess.run(shown, shell=True, cwd=workspace, capture_output=True, text=True, env=variables)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "unchanged: corpus" in again.stdout
    assert "tokenizer …" not in again.stdout
    assert len(runs(workspace)) == 1, "a run that did nothing leaves nothing"


def test_without_tasks_a_run_ends_with_the_backbone_and_a_failed_gate_with_exit_code_3(
    killed_then_finished, recipe, data, workspace
) -> None:
    no_tasks = ("--set", "tasks=[]", "--set", "gates.floors={}", "--set", "gates.min_perplexity=30")
    done = labram_run(recipe, data, workspace, *no_tasks)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "pretrain done" in done.stdout
    assert "the recipe has no tasks" in done.stdout
    assert "gate failed  labram-tokenizer: codebook" in done.stdout
    assert "gate failed  labram-backbone: tasks: the recipe has no tasks to compare it with" in done.stdout
    assert "not promoted  labram-backbone, labram-tokenizer" in done.stdout
    assert "ingest 0/2" in next(line for line in done.stdout.splitlines() if line.startswith("reused"))
    again = labram_run(recipe, data, workspace, *no_tasks)
    assert again.returncode == 3, "an unchanged run repeats the exit code of the run that it repeats"
    assert "unchanged: corpus" in again.stdout


@pytest.fixture(scope="module")
def adapted(killed_then_finished, one_task, data, workspace) -> subprocess.CompletedProcess[str]:
    return labram_run(one_task, data, workspace, job="adapt")


def test_adapting_fine_tunes_the_champion_and_promotes_task_models_alone(adapted, workspace) -> None:
    assert adapted.returncode == 0, adapted.stdout + adapted.stderr
    assert "load_backbone: starts from models:/labram-backbone/1#" in adapted.stdout
    assert "pretrain" not in adapted.stdout
    result = json.loads(next(workspace.glob("runs/one-*/result.json")).read_text())
    assert [row["model"] for row in result["promotions"]] == ["labram-gait"]
    assert "No model was pre-trained in this run." in next(workspace.glob("runs/one-*/report.html")).read_text()


def test_a_study_says_what_its_variants_differ_in_and_registers_nothing(adapted, one_task, data, workspace) -> None:
    done = labram_run(one_task, data, workspace, job="study")
    assert done.returncode == 0, done.stdout + done.stderr
    reused = next(line for line in done.stdout.splitlines() if line.startswith("reused"))
    assert all(step in reused for step in ("ingest 0/2", "quality", "load_backbone"))
    assert "scratch-half" in done.stdout
    assert "register" not in done.stdout
    folder = sorted(workspace.glob("runs/one-*"))[-1]
    result = json.loads((folder / "result.json").read_text())
    assert [(row["variant"], row["task"]) for row in result["study"]] == [
        ("pretrained", "gait"), ("scratch-half", "gait")
    ]  # fmt: skip
    assert "no variant differs significantly from pretrained" in (folder / "report.html").read_text()


def test_a_failing_step_is_named_with_its_own_words(recipe, data, workspace) -> None:
    done = labram_run(recipe, data, workspace, "--set", "quality.min_channels=100")
    assert done.returncode == 1
    assert "error: quality: none of" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_task_without_labels_is_named_before_anything_is_trained(recipe, data, workspace) -> None:
    done = labram_run(recipe, data, workspace, "--set", "tasks.gait.dataset=sim_lab")
    assert done.returncode == 1
    assert "dataset 'sim_lab' has no labels for a task 'gait'" in done.stdout


@pytest.mark.attack
def test_a_run_killed_at_the_gate_is_not_taken_for_a_finished_one(
    killed_then_finished, recipe, data, workspace
) -> None:
    """Models are registered by then; the run has no outcome yet."""
    more, before = ("--set", "gates.margin=0.03"), set(runs(workspace))
    first = subprocess.Popen(
        command(recipe, data, workspace, *more), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
    )
    deadline, told = time.monotonic() + 300, ""
    while '"step": "gate"' not in told and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
        new = set(runs(workspace)) - before
        told = "".join(path.read_text() for folder in new for path in folder.glob("events.jsonl"))
    assert first.poll() is None, "it ended before it could be killed"
    first.kill()
    first.wait()
    again = labram_run(recipe, data, workspace, *more)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "resuming" in again.stdout
    assert "unchanged: corpus" not in again.stdout
    assert "gate done" in again.stdout


@pytest.mark.attack
def test_a_run_is_made_again_with_equal_bits_in_a_clone_at_its_commit(killed_then_finished, data, workspace, tmp_path):
    name = json.loads(next(workspace.glob("runs/tiny-*/result.json")).read_text())["run"]
    ask = [str(LABRAM), "reproduce", name, "-w", str(workspace), "-d", str(data), "--into", str(tmp_path), "--json"]
    root = Path(__file__).parents[2]
    done = subprocess.run(ask, cwd=root, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = json.loads(done.stdout)
    assert verdict["verdict"] == "bit-equal"
    compared = {row["artifact"] for row in verdict["artifacts"]}
    models = ("labram-tokenizer", "labram-backbone", "labram-abnormal", "labram-gait")
    assert {f"{model}/model.safetensors" for model in models} <= compared
    assert {"labram-gait/predictions.parquet", "labram-abnormal/probe.npz"} <= compared
