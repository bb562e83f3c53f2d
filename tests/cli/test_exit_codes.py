"""The exit code of a run states its outcome; on a cluster too, see tests/platform/test_run_follower.py."""

import json

import pytest

from labram.cli import result
from labram.cli.exit_codes import DONE, NOT_PROMOTED
from labram.platform.run_result import RunOutcome
from labram.platform.workspace import Workspace
from labram.recipe import load
from labram.recipe.debug import shortened
from labram.steps import plan_run as step
from labram.steps.plan_run import Decision
from labram.tracking import mlflow_runs


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(RunOutcome.PROMOTED, DONE), (RunOutcome.NOT_PROMOTED, NOT_PROMOTED), (RunOutcome.COMPARED, DONE)],
)
def test_a_result_has_one_exit_code_whether_it_is_new_or_repeated(tmp_path, monkeypatch, capsys, outcome, code):
    monkeypatch.setattr(result, "_show_unused", lambda *_: None)
    shown = {"run": "r", "outcome": outcome.value, "tasks": [], "study": [], "quarantined": []}
    shown |= {"failed_gates": [], "promotions": []}
    assert result.show_result(shown, Workspace.at(tmp_path), tmp_path, load("demo")) == code
    assert "debug run" not in capsys.readouterr().out
    assert result.show_result(shown, Workspace.at(tmp_path), tmp_path, shortened(load("demo"))) == code
    assert ("debug run  every step works" in capsys.readouterr().out) == (outcome != RunOutcome.COMPARED)


def test_an_unchanged_run_names_the_run_before(tmp_path, monkeypatch):
    tags = {mlflow_runs.OUTCOME_TAG: "not promoted", mlflow_runs.RUN_TAG: "before"}
    events = tmp_path / "events.jsonl"
    monkeypatch.setenv("LABRAM_EVENTS", str(events))
    monkeypatch.setattr(step, "scan", lambda *_: [])
    monkeypatch.setattr(step, "require_stated_subjects", lambda *_: None)
    monkeypatch.setattr(step.dvc_versions, "corpus_version", lambda *_: "v1")
    monkeypatch.setattr(mlflow_runs, "configure", lambda _: "")
    monkeypatch.setattr(mlflow_runs, "latest_finished_run", lambda _: tags)
    recipe = load("demo").to_json()
    plan = step.plan_run(data=str(tmp_path), workspace=str(tmp_path), recipe=recipe, force=False, pipeline="retrain")
    assert plan.decision is Decision.UNCHANGED
    assert json.loads(events.read_text(encoding="utf-8").splitlines()[-2])["since"] == "before"
