"""Half-way states are found and finished; what is in use is left alone."""

import mlflow
import pytest

from labram.errors import RegistryError
from labram.platform.doctor import check_registry
from labram.registry import audit, model_registry, prune, repair
from labram.registry.model_registry import BACKBONE, CHALLENGER, CHAMPION, PREVIOUS
from labram.registry.promotion import promote
from labram.tracking import dead_runs, mlflow_runs
from tests.registry.test_promotion import aliases, verdict, versions
from tests.registry.test_provenance import add


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace of this file: the doctor looks at everything in it."""
    return tmp_path_factory.mktemp("repair")


@pytest.fixture
def run_id(workspace):
    mlflow_runs.configure(workspace)
    client = mlflow.MlflowClient()
    run = client.create_run(mlflow_runs.experiment_id(client)).info.run_id
    yield run
    client.set_terminated(run)


def findings(workspace):
    return [f"{finding.state} {finding.subject}: {finding.detail}" for finding in check_registry(workspace)]


def test_a_previous_champion_that_is_the_champion_becomes_the_version_that_it_replaced(run_id):
    versions("labram-loop", 2, run_id)
    promote(verdict("labram-loop", "1", None), why="first")
    promote(verdict("labram-loop", "2", "1"), why="second")
    client = model_registry.client()
    client.set_registered_model_alias("labram-loop", PREVIOUS, "2")
    client.set_registered_model_alias("labram-loop", CHALLENGER, "2")
    said = repair.repair_aliases()
    assert aliases("labram-loop") == {CHAMPION: "2", PREVIOUS: "1"}
    assert [sentence.partition(":")[0] for sentence in said] == ["labram-loop", "labram-loop"]
    assert repair.repair_aliases() == []


def test_a_champion_without_tags_is_tagged_as_found(run_id):
    versions("labram-bare", 1, run_id)
    model_registry.client().set_registered_model_alias("labram-bare", CHAMPION, "1")
    repair.repair_aliases()
    assert model_registry.get_version("labram-bare", "1").tags["promoted_why"] == "found as champion"
    assert aliases("labram-bare") == {CHAMPION: "1"}


def test_the_doctor_finishes_a_move_and_names_what_was_never_judged(run_id, workspace):
    versions("labram-half", 2, run_id)
    promote(verdict("labram-half", "1", None), why="first")
    audit.begin(audit.Entry(action="promoted", model="labram-half", version="2", previous="1", why="run two"))
    mlflow.MlflowClient().set_terminated(run_id)
    add("labram-unjudged", run_id)
    said = findings(workspace)
    assert "ok aliases and moves: fixed: labram-half version 2: finished a move that was interrupted (promoted)" in said
    assert "warning labram-unjudged version 1: registered, but its gates were never evaluated" in said
    assert aliases("labram-half") == {CHAMPION: "2", PREVIOUS: "1"}
    assert any(line.startswith("ok audit log: ") for line in said)
    assert "ok aliases and moves: nothing half-way" in findings(workspace)


def test_runs_of_dead_processes_are_ended_and_the_caller_is_not(workspace, monkeypatch, run_id):
    for name in ("dead-1", "alive-1"):
        monkeypatch.setenv("LABRAM_RUN", name)
        mlflow_runs.open_parent_run({}, {})
    client = mlflow.MlflowClient()
    client.set_terminated(run_id)
    assert dead_runs.end_dead_runs(current="alive-1", alone=False) == [], "it has been silent for a moment only"
    said = dead_runs.end_dead_runs(current="alive-1", alone=True)
    assert said == ["run dead-1 was RUNNING, but its process had ended: it is FAILED now"]
    dead, alive = (client.get_run(mlflow_runs.find_parent_run(name)) for name in ("dead-1", "alive-1"))
    assert (dead.info.status, dead.data.tags[dead_runs.REASON_TAG]) == ("FAILED", "its process had ended")
    assert alive.info.status == "RUNNING"
    monkeypatch.setattr(dead_runs, "SILENT_HOURS", 0.0)
    assert "alive-1 was RUNNING, but it had been silent for 0 hours" in dead_runs.end_dead_runs(alone=False)[0]


def test_a_logged_model_of_no_version_is_deleted_when_it_is_old(run_id, monkeypatch):
    client = mlflow.MlflowClient()
    orphan = client.create_logged_model(mlflow_runs.experiment_id(client), name="labram-orphan")
    assert orphan.model_id in {model.model_id for model in repair.orphans()}
    assert repair.delete_orphans() == [], "a step may be about to register it"
    monkeypatch.setattr(repair, "ORPHAN_HOURS", -1.0)
    assert repair.delete_orphans() == [
        f"logged model labram-orphan ({orphan.model_id}) belonged to no version: deleted"
    ]
    assert orphan.model_id not in {model.model_id for model in repair.orphans()}


def test_pruning_keeps_what_anything_in_use_was_made_from(run_id):
    old, used = (add(BACKBONE, run_id, weights_digest=str(number)) for number in range(2))
    mlflow.MlflowClient().set_terminated(run_id)
    champion = add("labram-kept", run_id, backbone_version=used.pin)
    model_registry.client().set_registered_model_alias("labram-kept", CHAMPION, champion.version)
    wanted = add("labram-kept", run_id, keep="for the paper")
    unused = add("labram-kept", run_id)
    found = prune.plan(newest=0)
    assert found.kept[used.uri] == f"labram-kept/{champion.version} was made from it"
    assert found.kept[wanted.uri] == "tag keep: for the paper"
    assert {old.uri, unused.uri} <= {version.uri for version in found.deleted}
    assert unused.uri in prune.plan(newest=1).kept
    original = mlflow_runs.create_parent_run("kept-1", {})
    reproduced = add("labram-kept", original)
    mlflow.MlflowClient().set_terminated(original)
    again = mlflow_runs.create_parent_run("kept-2", {"reproduces": "kept-1"})
    assert prune.plan(newest=0).kept[reproduced.uri] == "its run is being reproduced"
    mlflow.MlflowClient().set_terminated(again)
    assert reproduced.uri not in prune.plan(newest=0).kept
    prune.apply(prune.Plan({}, (unused,)))
    assert unused.uri not in {version.uri for version in model_registry.list_versions()}
    assert (audit.read("labram-kept")[-1].entry.action, audit.interrupted()) == ("deleted", [])
    with pytest.raises(RegistryError, match="is champion"):
        prune.apply(prune.Plan({}, (champion,)))


def test_a_workspace_without_a_registry_is_told_how_to_name_the_originals(tmp_path):
    assert findings(tmp_path) == ["error registry: this workspace has no runs and no models"]
