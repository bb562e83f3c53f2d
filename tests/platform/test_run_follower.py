"""Runs on a cluster as a user sees them: names of ours, progress, reasons, outcome, exit code.

The stand-ins behave as a cluster with KFP 2.17 did: task lists with KFP's own tasks among ours, which disappear once
Argo compresses the workflow's status; workflows that are deleted while KFP says RUNNING; failures that KFP does not
explain. MLflow is a real one, on SQLite.
"""

import base64
import gzip
import json
import re

import pytest
from mlflow.tracking import MlflowClient
from typer.testing import CliRunner

from labram.cli import app
from labram.cli.progress import console
from labram.errors import PlatformError
from labram.platform import run_follower, run_records, workflows
from labram.platform.doctor import kubernetes
from labram.platform.kfp_client import KfpClient
from labram.platform.run_follower import Follower
from labram.steps.table import STEPS
from labram.tracking import mlflow_runs

NOISE = ("root-driver(0)", "executor(0)", "iteration-item-driver(0)", "condition-2", "for-loop-4", "retrain-x7k2p")


@pytest.fixture(autouse=True)
def fast(monkeypatch, tracking_uri) -> None:
    monkeypatch.setattr(run_follower, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(run_records, "connect", lambda: None)


@pytest.fixture
def run(state, request) -> str:
    """A run of this test's name."""
    name = re.sub(r"\W+", "-", request.node.name).strip("-")
    state.tables["runs"][name] = {"run_id": name, "display_name": "demo-0123", "experiment_id": "e"}
    state.tables["experiments"]["e"] = {"experiment_id": "e", "display_name": "labram"}
    return name


@pytest.fixture(autouse=True)
def workflow(state, run, monkeypatch):
    """Sets the nodes of the run's workflow, plain or compressed."""
    path = f"/apis/argoproj.io/v1alpha1/namespaces/kubeflow/workflows?labelSelector=pipeline/runid={run}"
    monkeypatch.setattr(kubernetes, "get", lambda asked: state.documents.get(asked))

    def workflow(*nodes: tuple[str, str, str], compressed: bool = False) -> None:
        made = {
            str(number): {"type": "Pod", "name": f"retrain-x7k2p.{name}", "phase": phase, "message": message}
            for number, (name, phase, message) in enumerate(nodes)
        }
        packed = base64.b64encode(gzip.compress(json.dumps(made).encode())).decode()
        status = {"compressedNodes": packed} if compressed else {"nodes": made}
        state.documents[path] = {"items": [{"status": status}]}

    workflow()
    return workflow


def document(state: str, **tasks: str) -> dict:
    shown = {**dict.fromkeys(NOISE, "RUNNING"), **{name.replace("_", "-"): now for name, now in tasks.items()}}
    details = [{"task_id": name, "display_name": name, "state": now} for name, now in shown.items()]
    return {"state": state, "run_details": {"task_details": details}}


COMPRESSED = {"run_details": {}}
"""What KFP says of the tasks of a workflow with compressed status."""


def record(run: str, outcome: str = "", status: str = "RUNNING", **tags: str) -> str:
    run_id = mlflow_runs.create_parent_run(run, tags | ({"outcome": outcome} if outcome else {}))
    if status != "RUNNING":
        MlflowClient().set_terminated(run_id, status)
    return run_id


def record_step(run: str, label: str, status: str = "RUNNING", progress: float | None = None, failure: str = "") -> str:
    client = MlflowClient()
    tags = {"labram.run": run, "labram.step": label} | ({"failure": failure} if failure else {})
    run_id = client.create_run(mlflow_runs.experiment_id(client), tags=tags).info.run_id
    if progress is not None:
        client.log_metric(run_id, "progress", progress)
    if status != "RUNNING":
        client.set_terminated(run_id, status)
    return run_id


def follow(host: str, run: str) -> tuple[list[str], Follower]:
    follower = Follower(KfpClient(host), run, STEPS)
    return [line.text for line in follower.follow()], follower


def wait(host: str, run: str):
    return CliRunner().invoke(app, ["pipeline", "runs", run, "--wait", "--host", host])


def test_only_steps_are_shown_each_change_once(host, state, run) -> None:
    state.states = [
        document("RUNNING", preflight="RUNNING"),
        document("RUNNING", preflight="SUCCEEDED", plan_run="RUNNING"),
        document("RUNNING", preflight="SUCCEEDED", plan_run="SUCCEEDED", ingest="SKIPPED"),
        document("SUCCEEDED", preflight="SUCCEEDED", plan_run="SUCCEEDED", ingest="SKIPPED"),
    ]
    record(run, "promoted", "FINISHED")
    lines, _ = follow(host, run)
    assert lines == [
        "preflight running", "preflight succeeded", "plan_run running", "plan_run succeeded", "ingest skipped"
    ]  # fmt: skip


def test_steps_progress_and_outcome_are_there_though_kfp_shows_no_task(host, state, run) -> None:
    state.states = [{"state": "RUNNING", **COMPRESSED}, {"state": "SUCCEEDED", **COMPRESSED}]
    record(run, "promoted", "FINISHED")
    record_step(run, "pretrain", "FINISHED", 1.0)
    record_step(run, "finetune gait", progress=0.37)
    done = wait(host, run)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[:3] == ["pretrain succeeded", "finetune gait running, 30 %", "outcome   promoted"]


@pytest.mark.parametrize(
    ("outcome", "repeats", "code"),
    [
        ("promoted", "", 0),
        ("not promoted", "", 3),
        ("compared", "", 0),
        ("unchanged", "promoted", 0),
        ("unchanged", "not promoted", 3),
        ("", "", 1),
    ],
)
def test_the_exit_code_is_that_of_the_recorded_outcome(host, state, run, outcome, repeats, code) -> None:
    state.states = [{"state": "SUCCEEDED", **COMPRESSED}]
    gates = {"failed_gates": "labram-gait: better_than_baseline: 0.1 below"} if outcome == "not promoted" else {}
    record(run, outcome, "FINISHED", **({"repeats": repeats} if repeats else {}), **gates)
    done = wait(host, run)
    assert done.exit_code == code, done.output
    assert f"outcome   {outcome or 'not known'}" in done.output
    assert ("better_than_baseline" in done.output) == bool(gates)
    assert "next      " in done.output


def test_the_schedulers_reason_is_shown_once(host, state, run, workflow) -> None:
    reason = "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory."
    workflow(
        ("root.condition-2.tokenizer.executor(0)", "Pending", reason),
        ("root.condition-2.quality.executor(0)", "Pending", "PodInitializing"),
        compressed=True,
    )
    state.states = [document("RUNNING"), document("RUNNING"), document("CANCELED")]
    lines, _ = follow(host, run)
    assert lines == [f"tokenizer pending: {reason}"]


def test_the_message_of_the_step_that_failed_is_the_reason(host, state, run) -> None:
    state.states = [document("FAILED", quality="FAILED")]
    record(run, "error", "FAILED", failed_step="quality", failure="all recordings are quarantined. See quality.html.")
    record_step(run, "quality", "FAILED", failure="all recordings are quarantined. See quality.html.")
    done = wait(host, run)
    assert done.exit_code == 1
    assert "reason    quality: all recordings are quarantined. See quality.html." in done.output
    assert f"logs -l pipeline/runid={run} -c main" in done.output
    assert "quality failed: all recordings are quarantined." in done.output


def test_a_pod_that_could_not_say_why_ends_in_mlflow_with_argos_message(host, state, run, workflow) -> None:
    workflow(("root.condition-2.pretrain.executor(0)", "Failed", "OOMKilled (exit code 137)"))
    state.states = [document("FAILED")]
    parent, step = record(run), record_step(run, "pretrain")
    _, follower = follow(host, run)
    assert follower.record.failure == "pretrain: OOMKilled (exit code 137)"
    assert not follower.record.program_failed
    statuses = [MlflowClient().get_run(run_id).info.status for run_id in (parent, step)]
    assert statuses == ["FAILED", "FAILED"]


def test_a_run_that_never_started_a_step_has_a_record_too(host, state, run, workflow) -> None:
    message = 'pods "x" is forbidden: error looking up service account kubeflow/labram-task: not found'
    workflow(("root-driver(0)", "Error", message))
    state.states = [document("FAILED")]
    done = wait(host, run)
    assert done.exit_code == 1
    assert f"reason    {message}" in done.output
    assert run_records.read(run).outcome == "error"


def test_a_workflow_that_was_deleted_under_way_ends_the_run(host, state, run, workflow) -> None:
    """KFP goes on saying RUNNING (a schedule was deleted, which owns the workflow)."""
    state.states = [document("RUNNING")]
    record(run)
    follower = Follower(KfpClient(host), run, STEPS)
    seen = follower.follow()
    next(seen, None) if list(follower.look()) else None
    state.documents.clear()
    list(seen)
    assert follower.state == "DELETED"
    assert follower.record.failure == "the run, or its workflow, was deleted while it was running"
    assert MlflowClient().get_run(follower.record.run_id).info.status == "KILLED"


def test_a_deleted_run_is_ended_and_an_unknown_one_is_an_error(host, state, run) -> None:
    record(run)
    del state.tables["runs"][run]
    done = CliRunner().invoke(app, ["pipeline", "runs", run, "--host", host])
    assert (done.exit_code, "deleted while it was running" in done.output) == (1, True)
    unknown = CliRunner().invoke(app, ["pipeline", "runs", "never", "--host", host])
    assert (unknown.exit_code, "neither Kubeflow Pipelines nor MLflow" in unknown.output) == (1, True)


def test_a_canceled_run_is_killed_in_mlflow(host, state, run) -> None:
    state.states = [document("CANCELED")]
    parent = record(run)
    assert wait(host, run).exit_code == 130
    assert MlflowClient().get_run(parent).info.status == "KILLED"


def test_without_access_to_workflows_only_reasons_are_missing(host, state, run, monkeypatch) -> None:
    def denied(_):
        raise PlatformError("kubectl: Forbidden", remedy="Choose a cluster")

    monkeypatch.setattr(kubernetes, "get", denied)
    state.states = [document("RUNNING", preflight="RUNNING"), document("SUCCEEDED", preflight="SUCCEEDED")]
    record(run, "promoted", "FINISHED")
    lines, follower = follow(host, run)
    assert lines == [
        "why tasks are pending cannot be seen: kubectl: Forbidden. Choose a cluster.",
        "preflight running",
        "preflight succeeded",
    ]
    assert follower.record.outcome == "promoted"


def test_mlflow_may_be_away_for_a_moment(host, state, run, monkeypatch) -> None:
    state.states = [document("RUNNING"), document("SUCCEEDED")]
    record(run, "promoted", "FINISHED")
    read, answers = run_records.read, [PlatformError("MLflow does not respond (X)", remedy="Wait")]

    def sometimes(name):
        if answers:
            raise answers.pop()
        return read(name)

    monkeypatch.setattr(run_records, "read", sometimes)
    lines, follower = follow(host, run)
    assert lines == ["MLflow does not respond (X); the run is not affected"]
    assert follower.record.outcome == "promoted"


def test_kubeflow_may_be_away_for_a_moment(host, state, run, monkeypatch) -> None:
    """Its API server restarts while a run of days is followed."""
    state.states = [document("RUNNING"), document("SUCCEEDED")]
    record(run, "promoted", "FINISHED")
    state.failures = [500] * 3
    lines, follower = follow(host, run)
    assert lines == [f'GET /runs/{run} failed: {{"message": "busy"}} (500); the run is not affected']
    assert follower.record.outcome == "promoted"
    state.failures = [500] * (run_follower.PATIENCE + 1)
    state.scripts.clear()
    with pytest.raises(PlatformError, match="busy"):
        follow(host, run)


def test_an_outage_at_the_end_neither_ends_the_record_nor_retries(host, state, run, workflow, monkeypatch) -> None:
    """Without its record, a run that failed by itself would look like one that the cluster ended."""
    workflow(("root.condition-1.quality.executor(0)", "Failed", "pod deleted"))
    state.states = [document("FAILED")]
    record_step(run, "quality", "FAILED", failure="the corpus is empty")
    read, away = run_records.read, [True] * 3

    def sometimes(name):
        if away:
            away.pop()
            raise PlatformError("MLflow does not respond (X)", remedy="Wait")
        return read(name)

    monkeypatch.setattr(run_records, "read", sometimes)
    follow(host, run)
    assert not state.changes
    away.append(True)
    with pytest.raises(PlatformError, match="MLflow does not respond"):
        list(Follower(KfpClient(host), run, STEPS).look())


def test_kubernetes_may_be_away_when_a_run_is_lost(host, state, run, workflow, monkeypatch) -> None:
    """Whether the cluster ended a run is read from its workflow: a moment without Kubernetes costs no retry."""
    workflow(("root.condition-1.pretrain.executor(0)", "Running", ""))
    state.states = [document("RUNNING"), document("FAILED"), document("FAILED"), document("SUCCEEDED")]
    record(run)
    reading, asked = kubernetes.get, []

    def sometimes(path):
        asked.append(path)
        if len(asked) == 2:
            raise PlatformError("kubectl: no route", remedy="Wait")
        if len(asked) == 3:
            workflow(("root.condition-1.pretrain.executor(0)", "Failed", "pod deleted"))
        return reading(path)

    monkeypatch.setattr(kubernetes, "get", sometimes)
    lines, _ = follow(host, run)
    assert state.changes == [("POST", f"runs/{run}:retry")], lines


def test_a_list_of_schedules_has_the_outcome_of_the_last_run(host, state, run, monkeypatch) -> None:
    """KFP says SUCCEEDED of a run whose models all failed a gate."""
    schedule = {"recurring_run_id": "s", "display_name": "weekly", "experiment_id": "x", "status": "ENABLED"}
    state.tables["experiments"]["x"] = {"experiment_id": "x", "display_name": "labram-schedules"}
    state.tables["recurringruns"]["s"] = schedule | {"trigger": {"cron_schedule": {"cron": "0 0 3 * * 1"}}}
    state.tables["runs"][run] |= {"experiment_id": "x", "recurring_run_id": "s", "state": "SUCCEEDED"}
    record(run, "not promoted", "FINISHED", failed_gates="labram-gait: chance: 0.51")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow")
    done = CliRunner().invoke(app, ["pipeline", "schedule", "--host", host])
    assert done.output.splitlines() == [
        f"weekly  0 0 3 * * 1  ENABLED  last run {run} not promoted",
        "      labram-gait: chance: 0.51",
        f"      next: labram pipeline runs {run}",
    ]


def test_the_table_has_outcomes_reasons_and_what_runs(host, state, run, monkeypatch) -> None:
    monkeypatch.setattr(console, "_width", 200)
    state.states = [document("RUNNING", plan_run="SUCCEEDED")]
    record_step(run, "pretrain", progress=0.5)
    done = CliRunner().invoke(app, ["pipeline", "runs", "--host", host])
    assert done.exit_code == 0, done.output
    assert "pretrain running, 50 %" in done.output
    assert "demo-0123" in done.output
    state.scripts.clear()
    state.states = [document("FAILED")]
    record(run, "error", "FAILED", failed_step="pretrain", failure="no space")
    done = CliRunner().invoke(app, ["pipeline", "runs", "--host", host], env={"COLUMNS": "200"})
    assert "pretrain: no space" in done.output


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("w.root.condition-2.pretrain.executor(0)", "pretrain"),
        ("w.root.condition-2.pretrain-driver(0)", "pretrain"),
        ("w.root.condition-2.for-loop-4.iteration-iterations(1:1).iteration-item.finetune.executor(2)", "finetune"),
        ("w.root.plan-run-driver(0)", "plan_run"),
        ("w.root-driver(0)", ""),
    ],
)
def test_the_step_of_a_pod_is_in_the_path_of_its_node(name, step) -> None:
    assert workflows._step(name, STEPS) == step


LOST = [
    "pod deleted",
    "OOMKilled (exit code 137)",
    "Error (exit code 143)",
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi.",
    "Pod was rejected: node shutdown",
    'pods "x" is forbidden: exceeded quota: labram, requested: requests.cpu=4',
    "Pod was rejected: Node didn't have enough resource: cpu, requested: 4000, used: 14000, capacity: 15890",
    "Pod was rejected: Allocate failed due to no healthy devices present; cannot allocate unhealthy devices",
    'Usage of EmptyDir volume "shared-memory" exceeds the limit "8Gi". ',
    'Container main exceeded its local ephemeral storage limit "1Gi". ',
]
OWN = [
    "Error (exit code 1)",
    "Error (exit code 1): quality: every recording was evicted from the corpus",
    "Error (exit code 2): preflight: pod deleted",
    'pods "x" is forbidden: error looking up service account kubeflow/labram-task: not found',
    'two tasks have the same task name "for-loop-2_64_idx_0"',
    "",
]


@pytest.mark.parametrize(("message", "lost"), [*((text, True) for text in LOST), *((text, False) for text in OWN)])
def test_what_the_cluster_ended_is_told_from_what_failed_by_itself(message, lost) -> None:
    """Argo's messages of pods, to which it appends what the program has left as its termination message."""
    assert workflows.Node("pretrain", "Failed", message).lost is lost


@pytest.mark.parametrize(
    ("started", "waiting"),
    [("2026-11-29T10:00:00Z", ["ContainerCreating for more than 5 minutes"]), ("2999-01-01T00:00:00Z", [])],
)
def test_a_pod_whose_volume_cannot_be_mounted_is_reported(state, run, started, waiting) -> None:
    """Its message is that of a pod that is about to start."""
    path = f"/apis/argoproj.io/v1alpha1/namespaces/kubeflow/workflows?labelSelector=pipeline/runid={run}"
    node = {"type": "Pod", "name": "w.root.plan-run.executor(0)", "phase": "Pending", "startedAt": started}
    state.documents[path] = {"items": [{"status": {"nodes": {"1": node | {"message": "ContainerCreating"}}}}]}
    found = workflows.read("kubeflow", run, STEPS).waiting
    assert [(node.step, node.message.partition(":")[0]) for node in found] == [("plan_run", it) for it in waiting]


@pytest.mark.parametrize("message", LOST[:3])
def test_a_run_that_the_cluster_ended_is_retried(host, state, run, workflow, message) -> None:
    """KFP's stock settings retry pods that were deleted, and no pod that failed."""
    workflow(("root.condition-1.pretrain.executor(0)", "Failed", message), compressed=True)
    state.states = [document("RUNNING"), document("FAILED"), document("RUNNING"), {"state": "SUCCEEDED", **COMPRESSED}]
    parent = record(run)
    follower = Follower(KfpClient(host), run, STEPS)
    lines = []
    for line in follower.follow():
        lines.append(line.text)
        if "retry" in line.text:
            assert MlflowClient().get_run(parent).info.status == "RUNNING"
    assert f"the cluster ended the run (pretrain: {message}); retry 1 of 8" in lines
    assert state.changes == [("POST", f"runs/{run}:retry")]
    assert run_records.read(run).retries == 1


@pytest.mark.parametrize(
    ("message", "recorded"),
    [("Error (exit code 1)", ""), ("pod deleted", "the corpus is empty"), ("pod deleted", "nine times")],
)
def test_a_step_that_failed_is_not_retried(host, state, run, workflow, message, recorded) -> None:
    workflow(("root.condition-1.quality.executor(0)", "Failed", message))
    state.states = [document("FAILED")]
    record(run, **({"retries": "8"} if recorded == "nine times" else {}))
    if recorded == "the corpus is empty":
        record_step(run, "quality", "FAILED", failure=recorded)
    _, follower = follow(host, run)
    assert follower.record.outcome == "error"
    assert not state.changes


def test_the_keeper_of_scheduled_runs_retries_each_once(host, state, run, workflow) -> None:
    """It is a CronJob; KFP, which another program may have asked before, refuses a second retry."""
    workflow(("root.condition-1.pretrain.executor(0)", "Failed", "pod deleted"))
    state.states = [document("FAILED"), document("RUNNING")]
    record(run)
    keep = ["pipeline", "runs", "--retry", "--host", host]
    for _ in range(2):
        assert CliRunner().invoke(app, keep, env={"COLUMNS": "200"}).exit_code == 0
    assert state.changes == [("POST", f"runs/{run}:retry")]
    client = KfpClient(host)
    with pytest.raises(PlatformError, match="must be Failed"):
        client.retry_run(run)


def test_a_retry_that_kfp_rejects_is_reported_and_the_run_followed_on(host, state, run, workflow, monkeypatch) -> None:
    def rejected(*_):
        raise PlatformError("Workflow must be Failed/Error to retry", remedy="Wait")

    workflow(("root.condition-1.pretrain.executor(0)", "Failed", "pod deleted"))
    state.states = [document("FAILED"), document("SUCCEEDED")]
    record(run, "", retries="7")
    monkeypatch.setattr(KfpClient, "retry_run", rejected)
    lines, _ = follow(host, run)
    assert lines == ["the run could not be retried: Workflow must be Failed/Error to retry"]


def test_an_attempt_that_argo_has_repeated_is_neither_the_reason_nor_a_loss(host, state, run, workflow) -> None:
    """Argo retries a deleted pod; the run then fails for another reason."""
    workflow(
        ("root.condition-1.pretrain.executor(0)", "Failed", "pod deleted"),
        ("root.condition-1.pretrain.executor(1)", "Succeeded", ""),
        ("root.condition-1.register.executor(0)", "Failed", "Error (exit code 1): register: no such model"),
    )
    state.states = [document("FAILED")]
    record(run)
    _, follower = follow(host, run)
    assert follower.record.failure == "register: Error (exit code 1): register: no such model"
    assert not state.changes
