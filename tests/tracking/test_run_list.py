"""Pipeline runs are listed with their steps, newest first."""

import pytest

from labram.errors import RegistryError
from labram.registry.comparison import compare_runs
from labram.tracking import mlflow_runs
from labram.tracking.run_list import find_run, list_runs, steps_of


def finished(name, monkeypatch, params, tags):
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("LABRAM_RUN", name)
    run_id = mlflow_runs.open_parent_run(params, tags)
    client = MlflowClient()
    step = mlflow_runs._open_nested(client, "evaluate t")
    client.log_metric(step, "auroc", 0.75)
    client.log_metric(step, "system/cpu", 50.0)
    client.set_terminated(step, "FINISHED")
    mlflow_runs.close_parent_run(run_id, "promoted")
    return run_id


@pytest.fixture
def two(tracking_uri, monkeypatch):
    for name, seed in (("one-1", "0"), ("one-2", "1")):
        finished(name, monkeypatch, {"seed": seed, "tasks.t.kind": "binary"}, {"git_commit": name, "recipe": "one"})
    return find_run("one-1"), find_run("one-2")


def test_a_run_has_its_outcome_origin_and_steps_without_the_machines_metrics(two):
    assert [run.name for run in list_runs() if run.name.startswith("one-")] == ["one-2", "one-1"]
    assert (two[0].outcome, two[0].tags["git_commit"], two[0].params["seed"]) == ("promoted", "one-1", "0")
    assert two[0].seconds >= 0
    (step,) = steps_of(two[0])
    assert (step.name, step.status, step.metrics) == ("evaluate t", "FINISHED", {"auroc": 0.75})
    assert find_run(two[1].run_id) == two[1]


def test_runs_differ_in_what_their_settings_and_origin_differ(two):
    found = compare_runs(*two)
    assert found.settings == (("seed", "0", "1"),)
    assert found.origin == (("git_commit", "one-1", "one-2"),)
    assert found.scores == ()
    assert "no predictions of task 't'" in found.notes[0]


def test_an_unknown_run_is_answered_with_those_that_exist(two):
    with pytest.raises(RegistryError, match=r"no run is named 'none'.*one-2"):
        find_run("none")
