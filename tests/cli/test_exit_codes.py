"""The exit code of a run states its outcome, on this machine and on a cluster."""

import json

import pytest

from labram.cli import pipeline, result
from labram.cli.exit_codes import DONE, ERROR, INTERRUPTED, NOT_PROMOTED
from labram.platform.run_result import Outcome
from labram.platform.workspace import Workspace
from labram.recipe import load
from labram.steps import plan_run as step
from labram.steps.plan_run import Decision
from labram.tracking import mlflow_runs


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(Outcome.PROMOTED, DONE), (Outcome.NOT_PROMOTED, NOT_PROMOTED), (Outcome.COMPARED, DONE)],
)
def test_a_result_has_one_exit_code_whether_it_is_new_or_repeated(tmp_path, monkeypatch, outcome, code):
    monkeypatch.setattr(result, "_show_unused", lambda *_: None)
    shown = {"run": "r", "outcome": outcome.value, "tasks": [], "study": [], "quarantined": []}
    shown |= {"failed_gates": [], "promotions": []}
    assert result.show_result(shown, Workspace.at(tmp_path), tmp_path, load("demo")) == code


class Cluster:
    def __init__(self, *states):
        self.states = states

    def follow_run(self, _):
        yield from self.states


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ([("report", "SUCCEEDED"), ("", "SUCCEEDED")], DONE),
        ([("report-gate-failure", "SKIPPED"), ("", "SUCCEEDED")], DONE),
        ([("report-gate-failure", "SUCCEEDED"), ("", "SUCCEEDED")], NOT_PROMOTED),
        ([("report-gate-failure-2", "SUCCEEDED"), ("", "SUCCEEDED")], NOT_PROMOTED),
        ([("report-gate-failure", "SUCCEEDED"), ("", "FAILED")], ERROR),
        ([("report", "SUCCEEDED"), ("", "CANCELED")], INTERRUPTED),
    ],
)
def test_a_run_on_a_cluster_has_the_same_exit_codes(states, code):
    assert pipeline._follow(Cluster(*states), "run") == code


@pytest.mark.parametrize(
    ("outcome", "decision"),
    [
        ("promoted", Decision.UNCHANGED),
        ("compared", Decision.UNCHANGED),
        ("not promoted", Decision.UNCHANGED_NOT_PROMOTED),
        ("refused", Decision.UNCHANGED_NOT_PROMOTED),
    ],
)
def test_an_unchanged_run_knows_how_the_run_before_ended(tmp_path, monkeypatch, outcome, decision):
    tags = {mlflow_runs.OUTCOME_TAG: outcome, mlflow_runs.RUN_TAG: "before"}
    events = tmp_path / "events.jsonl"
    monkeypatch.setenv("LABRAM_EVENTS", str(events))
    monkeypatch.setattr(step, "scan", lambda *_: [])
    monkeypatch.setattr(step, "require_stated_subjects", lambda *_: None)
    monkeypatch.setattr(step.dvc_versions, "corpus_version", lambda *_: "v1")
    monkeypatch.setattr(mlflow_runs, "configure", lambda _: "")
    monkeypatch.setattr(mlflow_runs, "latest_finished_run", lambda _: tags)
    recipe = load("demo").to_json()
    plan = step.plan_run(data=str(tmp_path), workspace=str(tmp_path), recipe=recipe, force=False, pipeline="retrain")
    assert plan.decision is decision
    assert json.loads(events.read_text(encoding="utf-8").splitlines()[-2])["since"] == "before"
