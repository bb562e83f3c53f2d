"""The parent run shows scores, gates and a description; all runs can be exported."""

import csv
import json
import struct

import google_crc32c
import pytest

from labram.cli import result as terminal
from labram.errors import PlatformError, RegistryError
from labram.events import NullMonitor
from labram.tracking import mlflow_runs, own_database, run_export, run_pages, run_summary
from labram.tracking.event_file import Scalar, crc32c, write_event_file
from labram.tracking.run_params import log_params

RESULT = {
    "run": "r1",
    "outcome": "not promoted",
    "tasks": [
        {
            "task": "workload",
            "metric": "auroc",
            "model": {"value": 0.81, "low": 0.7, "high": 0.9},
            "baseline": {"value": 0.62, "low": None, "high": None},
            "random": None,
            "labram": None,
            "gate": "failed",
            "registered": "labram-workload",
        }
    ],
    "failed_gates": [{"model": "labram-workload", "name": "floor", "detail": "0.81 < 0.9"}],
    "promotions": [],
}


def test_headline_metrics_have_interval_baseline_and_gate():
    assert run_summary.metrics_of(RESULT) == {
        "workload/auroc": 0.81,
        "workload/auroc_low": 0.7,
        "workload/auroc_high": 0.9,
        "workload/auroc_baseline": 0.62,
        "workload/gates_passed": 0.0,
    }
    assert run_summary.tags_of(RESULT) == {"gate.workload": "failed: floor"}
    note = run_summary.describe(RESULT, "demo", "A demo.")
    assert "| workload | auroc | 0.810 [0.700, 0.900] | 0.620 | failed |" in note
    study = {"study": [{"task": "t", "metric": "auroc", "variant": "frozen", "score": {"value": 0.5}}]}
    assert run_summary.metrics_of(study) == {"t/auroc/frozen": 0.5}


def test_the_parent_run_has_them_once_however_often_it_is_closed(run_id, tmp_path):
    from mlflow.tracking import MlflowClient

    (tmp_path / "report.html").write_text("<p>", encoding="utf-8")
    for _ in range(2):
        run_summary.summarise(run_id, RESULT, recipe="demo", description="A demo.", report=tmp_path / "report.html")
    client = MlflowClient()
    run = client.get_run(run_id)
    assert run.data.metrics["workload/auroc"] == 0.81
    assert len(client.get_metric_history(run_id, "workload/auroc")) == 1
    assert run.data.tags["gate.workload"] == "failed: floor"
    assert run.data.tags["mlflow.note.content"].startswith("Recipe **demo**: A demo.")
    assert [file.path for file in client.list_artifacts(run_id)] == ["report.html"]


def test_the_last_lines_of_a_run_open_its_page_and_the_table_of_runs(tmp_path, tracking_database, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert run_pages.page(tmp_path, "7", "abc") == "http://127.0.0.1:5000/#/experiments/7/runs/abc"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000/")
    assert run_pages.page(tmp_path, "7") == "http://mlflow:5000/#/experiments/7/runs"
    from pathlib import Path

    database = Path(tracking_database.removeprefix("sqlite:///"))
    assert own_database.experiment_id(database, mlflow_runs.EXPERIMENT) == "1"
    assert own_database.experiment_id(database, "other") is None
    assert own_database.experiment_id(tmp_path / "absent.db", "labram") is None


def test_all_runs_are_exported_with_settings_scores_and_curves(run_id, tmp_path):
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    client.set_tag(run_id, mlflow_runs.RUN_TAG, "night run")
    client.set_tag(run_id, mlflow_runs.STEP_TAG, "pretrain")
    client.log_param(run_id, "pretraining.steps", "5")
    for step in (0, 10):
        client.log_metric(run_id, "loss", 1.0 / (step + 1), step=step)
    done = run_export.export_runs(tmp_path / "out", tensorboard=True, monitor=NullMonitor())
    assert done.runs >= 1
    with (tmp_path / "out" / run_export.RUNS_FILE).open(encoding="utf-8") as file:
        (row,) = [row for row in csv.DictReader(file) if row["run_id"] == run_id]
    assert (row["run"], row["step"], row["params.pretraining.steps"]) == ("night run", "pretrain", "5")
    assert float(row["metrics.loss"]) == pytest.approx(1 / 11)
    with (tmp_path / "out" / run_export.CURVES_FILE).open(encoding="utf-8") as file:
        curve = [
            (row["metric"], row["at_step"], row["value"]) for row in csv.DictReader(file) if row["run_id"] == run_id
        ]
    assert curve == [("loss", "0", "1.0"), ("loss", "10", str(1 / 11))]
    (events,) = (tmp_path / "out" / "night_run" / "pretrain").iterdir()
    assert "tfevents" in events.name
    with pytest.raises(PlatformError, match="not an export"):
        run_export.export_runs(tmp_path, tensorboard=False, monitor=NullMonitor())


def test_a_workspace_without_runs_has_nothing_to_export(tracking_uri, tmp_path, monkeypatch):
    monkeypatch.setattr(run_export, "_runs", lambda _: iter(()))
    with pytest.raises(RegistryError, match="no run to export"):
        run_export.export_runs(tmp_path / "out", tensorboard=False, monitor=NullMonitor())


def test_event_files_have_the_records_and_checksums_of_tensorboard(tmp_path):
    assert crc32c(b"123456789") == 0xE3069283 == google_crc32c.value(b"123456789")
    path = tmp_path / "events.out.tfevents.1"
    write_event_file(path, [Scalar("loss", 300, 0.5, 12.25)], started=1.0)
    data, events = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        (check,) = struct.unpack("<I", data[12 + length : 16 + length])
        crc = google_crc32c.value(data[12 : 12 + length])
        assert check == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
        events.append(data[12 : 12 + length])
        data = data[16 + length :]
    assert events[0].endswith(b"brain.Event:2")
    assert parsed(events[1]) == {1: 12.25, 2: 300, 5: {1: {1: b"loss", 2: 0.5}}}


def parsed(message: bytes) -> dict:
    """Parse a protocol buffer of doubles, varints, floats and nested messages; a text is a leaf named loss."""
    fields, place = {}, 0
    while place < len(message):
        field, kind = message[place] >> 3, message[place] & 7
        place += 1
        if kind == 1:
            fields[field], place = struct.unpack_from("<d", message, place)[0], place + 8
        elif kind == 5:
            fields[field], place = struct.unpack_from("<f", message, place)[0], place + 4
        else:
            number = shift = 0
            while True:
                byte, place = message[place], place + 1
                number, shift = number | (byte & 0x7F) << shift, shift + 7
                if byte < 0x80:
                    break
            if kind == 2:
                inner, place = message[place : place + number], place + number
                fields[field] = inner if inner == b"loss" else parsed(inner)
            else:
                fields[field] = number
    return fields


def test_the_terminal_prints_both_addresses(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(terminal, "_show_unused", lambda *_: None)
    from labram.platform.workspace import Workspace
    from labram.recipe import load

    shown = {**RESULT, "tasks": [], "failed_gates": [], "quarantined": [], "mlflow": {"experiment": "1", "run": "abc"}}
    terminal.show_result(shown, Workspace.at(tmp_path), tmp_path, load("demo"))
    printed = capsys.readouterr().out
    assert "this run  http://127.0.0.1:5000/#/experiments/1/runs/abc" in printed
    assert "all runs  http://127.0.0.1:5000/#/experiments/1/runs\n" in printed


def test_a_step_has_the_settings_of_its_section_once(run_id):
    from mlflow.tracking import MlflowClient

    settings = {"seed": 3, "optimiser": {"peak_lr": 0.1}, "tasks": [{"name": "t", "epochs": 2}]}
    for _ in range(2):
        log_params(run_id, settings)
    expected = {"seed": "3", "optimiser.peak_lr": "0.1", "tasks.t.name": "t", "tasks.t.epochs": "2"}
    assert MlflowClient().get_run(run_id).data.params == expected


def test_the_end_of_a_run_names_its_pages(run_id, tmp_path):
    from types import SimpleNamespace

    from mlflow.tracking import MlflowClient

    from labram.platform.workspace import Workspace
    from labram.recipe import load
    from labram.steps.close_run import close_run

    (tmp_path / "page.html").write_text("<p>", encoding="utf-8")
    step = SimpleNamespace(log_artifacts=lambda *_: None)
    close_run(step, Workspace.at(tmp_path / "ws"), run_id, tmp_path / "page.html", RESULT, load("demo"))
    result = json.loads((Workspace.at(tmp_path / "ws").run("r1") / "result.json").read_text(encoding="utf-8"))
    assert result == {**RESULT, "mlflow": {"run": run_id, "experiment": "1"}}
    run = MlflowClient().get_run(run_id)
    assert (run.info.status, run.data.metrics["workload/auroc"]) == ("FINISHED", 0.81)
