"""What is missing is named, each thing with its remedy, on a cluster that lacks just that."""

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml
from typer.testing import CliRunner

from labram.cli import app
from labram.errors import PlatformError
from labram.platform.doctor import SECRETS, check_machine, require
from labram.platform.doctor.services import mlflow

NAMESPACED = "/api/v1/namespaces/labram"
CLAIM = f"{NAMESPACED}/persistentvolumeclaims/labram-workspace"
CLASS = "/apis/storage.k8s.io/v1/storageclasses/shared-files"
MLFLOW = "/apis/apps/v1/namespaces/labram/deployments/mlflow"
NODES = "/api/v1/nodes?labelSelector=labram.dev/pool=gpu"


CONTROLLER = "/api/v1/namespaces/kubeflow/configmaps/workflow-controller-configmap"


def controller(policy: str, *, one_key: bool = False) -> dict:
    """The settings of Argo's controller: KFP's stock ones have `OnError`."""
    defaults = {"spec": {"templateDefaults": {"retryStrategy": {"retryPolicy": policy} if policy else {}}}}
    return {"data": {"config": yaml.safe_dump({"workflowDefaults": defaults})} if one_key else
            {"workflowDefaults": yaml.safe_dump(defaults)}}  # fmt: skip


def node(gpus: str) -> dict:
    labels = {"labram.dev/pool": "gpu"} if gpus else {}
    allocatable = {"cpu": "32", "memory": "128Gi"} | ({"nvidia.com/gpu": gpus} if gpus else {})
    return {"metadata": {"labels": labels}, "status": {"allocatable": allocatable}}


def claim(phase: str = "Bound", mode: str = "ReadWriteMany") -> dict:
    return {"spec": {"storageClassName": "shared-files", "accessModes": [mode]}, "status": {"phase": phase}}


@pytest.fixture
def healthy(state, kubectl) -> dict[str, dict]:
    """A cluster on which nothing is missing; tests take something away."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    state.health["multi_user"] = True
    state.documents |= {
        "/version": {"major": "1", "minor": "33"},
        **{f"{NAMESPACED}/secrets/{name}": {"data": dict.fromkeys(keys, "c2VjcmV0")} for name, keys in SECRETS.items()},
        f"{NAMESPACED}/configmaps/labram-environment": {"data": {"MLFLOW_TRACKING_URI": "http://mlflow:5000"}},
        CLAIM: claim(),
        CLASS: {"volumeBindingMode": "Immediate"},
        MLFLOW: {"status": {"availableReplicas": 2}},
        CONTROLLER: controller("OnError"),
        "/api/v1/nodes": {"items": [node(""), node("4")]},
        NODES: {"items": [node("4")]},
    }
    return state.documents


def doctor(host: str, *more: str):
    return CliRunner().invoke(app, ["doctor", "--cluster", "--host", host, "--gpus", "4", *more])


def test_nothing_is_wrong_on_a_cluster_that_has_everything(host, healthy) -> None:
    done = doctor(host)
    assert done.exit_code == 0, done.output
    assert "WRONG" not in done.output
    assert done.output.count("ok ") == 12
    assert "c2VjcmV0" not in done.output
    assert "secret" not in done.output.replace("Secret", "")


@pytest.mark.parametrize(
    ("path", "document", "said", "remedy"),
    [
        (f"{NAMESPACED}/secrets/labram-mlflow-user", None, "Secret labram-mlflow-user: missing in", "Secrets"),
        (f"{NAMESPACED}/secrets/labram-database", {"data": {"pass": ""}}, "missing keys: password", "Secrets"),
        (f"{NAMESPACED}/secrets/labram-database", {"data": {"password": ""}}, "empty keys: password", "Secrets"),
        (
            f"{NAMESPACED}/secrets/labram-storage",
            {"data": {"access-key-id": "eA=="}},
            "keys: secret-access-key",
            "Secrets",
        ),
        (f"{NAMESPACED}/configmaps/labram-environment", None, "does not set MLFLOW_TRACKING_URI", "apply -k"),
        (CLAIM, None, "the PersistentVolumeClaim does not exist", "apply -k"),
        (CLAIM, claim(mode="ReadWriteOnce"), "only one node at a time", "ReadWriteMany: NFS"),
        (CLAIM, claim(phase="Pending"), "has provisioned no volume", "describe pvc"),
        (MLFLOW, None, "MLflow: not installed", "apply -k"),
        (MLFLOW, {"status": {}}, "no pod is ready", "describe pods"),
        (
            NODES,
            {"items": [node("1"), node("2")]},
            "the largest of 2 nodes has 2",
            "parameter gpus",
        ),
        (NODES, {"items": [node("")]}, "the largest of 1 nodes has 0", "device plug-in"),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(host, healthy, path, document, said, remedy) -> None:
    if document is None:
        del healthy[path]
    else:
        healthy[path] = document
    done = doctor(host)
    assert done.exit_code == 1, done.output
    lines = done.output.splitlines()
    (wrong,) = (number for number, line in enumerate(lines) if line.startswith("WRONG"))
    assert said in lines[wrong]
    assert remedy in lines[wrong + 1]


def test_a_wrong_storage_class_is_named(host, healthy) -> None:
    healthy[CLAIM] = claim(phase="Pending")
    del healthy[CLASS]
    assert "unbound: no storage class shared-files" in doctor(host).output


def test_a_store_in_a_bucket_wants_a_key_of_subjects(host, healthy) -> None:
    given = {"MLFLOW_TRACKING_URI": "http://mlflow:5000", "LABRAM_STORE": "s3://patches"}
    healthy[f"{NAMESPACED}/configmaps/labram-environment"] = {"data": given}
    assert "Secret labram-storage: missing in namespace" in doctor(host).output
    healthy[f"{NAMESPACED}/secrets/labram-storage"] = {"data": {"subject-key": "c2VjcmV0"}}
    assert doctor(host).exit_code == 0


def test_a_pool_that_grows_from_nothing_is_a_doubt_and_any_other_a_fault(host, healthy) -> None:
    healthy[NODES] = {"items": []}
    done = doctor(host)
    assert done.exit_code == 1
    assert "WRONG GPU pool: no node has the label" in done.output
    healthy[f"{NAMESPACED}/configmaps/labram-environment"]["data"]["LABRAM_AUTOSCALED"] = "1"
    done = doctor(host)
    assert done.exit_code == 0
    assert "?     GPU pool: no node has the label" in done.output


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (controller("OnError"), "ok    retries: Argo retries pods that were deleted"),
        (controller("OnError", one_key=True), "ok    retries: Argo retries pods that were deleted"),
        (controller("Always"), "?     retries: Argo retries every failed pod (retryPolicy Always)"),
        (controller(""), "?     retries: Argo retries every failed pod (retryPolicy OnFailure)"),
        ({}, "?     retries: no ConfigMap workflow-controller-configmap in namespace kubeflow"),
    ],
)
def test_the_controllers_policy_is_read_and_explained(host, healthy, settings, said) -> None:
    healthy[CONTROLLER] = settings
    done = doctor(host)
    assert said in done.output
    assert done.exit_code == 0


def test_a_laptop_sized_cluster_holds_the_small_profile_and_no_other(host, healthy) -> None:
    small = {"status": {"allocatable": {"cpu": "2", "memory": "7900Mi"}}}
    healthy["/api/v1/nodes"] = {"items": [small]}
    done = doctor(host, "--gpus", "0")
    assert done.exit_code == 1
    assert "WRONG sizes: no node can ever hold ingest (4 CPU, 8Gi)" in done.output
    assert "tokenizer (4 CPU, 24Gi)" in done.output
    done = doctor(host, "--gpus", "0", "--sizes", "small")
    assert (done.exit_code, "ok    sizes: each of 16 steps fits" in done.output) == (0, True), done.output


def test_an_old_back_end_is_named(host, healthy, state) -> None:
    state.health = {"multi_user": False}
    done = doctor(host)
    assert done.exit_code == 1
    assert "older than 2.14" in done.output
    assert "Upgrade to 2.16" in done.output


KFP = "/apis/apps/v1/namespaces/kubeflow/deployments/ml-pipeline"


def api_server(tag: str) -> dict:
    containers = [{"name": "ml-pipeline-api-server", "image": f"ghcr.io/kubeflow/kfp-api-server:{tag}"}]
    return {"spec": {"template": {"spec": {"containers": containers}}}}


@pytest.mark.parametrize(
    ("health", "deployment", "said"),
    [
        (
            {"tag_name": "2.17.0", "multi_user": False},
            {},
            "ok    Kubeflow Pipelines: HOST responds, 2.17.0, single-user",
        ),
        ({"tag_name": "2.15.2"}, {}, "WRONG Kubeflow Pipelines: the server at HOST is 2.15.2"),
        ({"tag_name": "unknown"}, api_server("2.14.3"), "WRONG Kubeflow Pipelines: the server at HOST is 2.14.3"),
        ({"multi_user": True}, api_server("2.16.1"), "ok    Kubeflow Pipelines: HOST responds, 2.16.1, multi-user"),
        ({}, api_server("master"), "its version cannot be seen (2.16 is needed)"),
    ],
)
def test_the_version_and_the_mode_of_the_server_are_read(host, healthy, state, health, deployment, said) -> None:
    """Our platform settings are rejected by 2.14 and 2.15, and accepted by 2.16."""
    state.health |= health
    healthy[KFP] = deployment
    assert said.replace("HOST", host) in doctor(host).output


def test_a_single_user_server_and_a_namespace_of_ours_are_named(host, healthy, state) -> None:
    """It would accept the namespace, run in its own, and fail there for a missing service account."""
    state.health["multi_user"] = False
    done = doctor(host)
    assert done.exit_code == 1
    assert "WRONG runs in namespace labram: Kubeflow Pipelines is for a single user" in done.output


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (None, "access denied to this account (401)"),
        ("expired", "the token is not accepted: it may have expired (401)"),
        ("", "the token of Kubeflow Pipelines is empty"),
    ],
)
def test_a_token_that_is_not_accepted_is_named(host, healthy, state, tmp_path, monkeypatch, token, said) -> None:
    state.token = "secret"
    if token is not None:
        (tmp_path / "token").write_text(token)
        monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    done = doctor(host)
    assert done.exit_code == 1
    assert said in done.output


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"succeeded": 1}, "ok    Job labram-volume: the volume is writable"),
        ({"failed": 2}, "WRONG Job labram-volume: it could not make the volume writable for tasks"),
        ({"active": 1}, "?     Job labram-volume: it has not made the volume writable yet"),
    ],
)
def test_a_volume_that_tasks_may_not_write_is_named(host, healthy, status, said) -> None:
    """KFP has no fsGroup: on a volume of root's, our image would get `Permission denied`."""
    healthy["/apis/batch/v1/namespaces/labram/jobs/labram-volume"] = {"status": status}
    assert said in doctor(host).output


def test_kubeflow_and_kubernetes_that_cannot_be_reached_are_both_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    done = doctor("http://127.0.0.1:9")
    assert done.exit_code == 1
    assert "Kubeflow Pipelines: http://127.0.0.1:9: Kubeflow Pipelines does not respond" in done.output
    assert "WRONG Kubernetes: kubectl" in done.output


@pytest.fixture
def tracking(monkeypatch):
    """A server that answers what MLflow's would."""
    answers = {"status": 200, "text": "{}"}

    class Tracking(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/api/2.0/mlflow/experiments/search"
            answers["account"] = self.headers.get("Authorization")
            data = answers["text"].encode()
            self.send_response(answers["status"])
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = HTTPServer(("127.0.0.1", 0), Tracking)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    answers["uri"] = f"http://127.0.0.1:{server.server_address[1]}"
    yield answers
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (200, json.dumps({"experiments": []}), "responds"),
        (401, "You are not authenticated", "rejects this account"),
        (403, "Invalid Host header - possible DNS rebinding attack detected", "rejects this host name"),
        (500, "broken", "responds with 500"),
    ],
)
def test_mlflow_is_asked_what_needs_an_account(tracking, monkeypatch, status, text, said) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "task")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "x")
    tracking |= {"status": status, "text": text}
    found = mlflow(tracking["uri"])
    assert said in found.detail
    assert (found.state == "ok") == (status == 200)
    assert tracking["account"].startswith("Basic ")


def test_before_a_run_everything_that_is_wrong_is_said_at_once(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (tmp_path / "file").write_text("")
    with pytest.raises(PlatformError, match=r"workspace: .*is not writable.*MLflow: .*does not respond") as refusal:
        require(check_machine(tmp_path / "file"))
    assert "Mount a volume" in refusal.value.remedy


def test_on_this_machine_nothing_is_asked_of_a_server_that_is_not_named(tmp_path) -> None:
    done = CliRunner().invoke(app, ["doctor", "-w", str(tmp_path / "w")])
    assert done.exit_code == 0
    assert done.output.startswith("ok    workspace:")
    assert not list((tmp_path / "w").iterdir())


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("all", "ok    image"),
        ("token", "asks for no account"),
        ("none", "the registry requires an account (401)"),
        ("", "the registry does not have it"),
    ],
)
def test_a_registry_is_asked_for_the_image(host, healthy, state, who, said) -> None:
    state.images = {"eeg/labram-python": who} if who else {}
    reference = f"{host.removeprefix('http://')}/eeg/labram-python@sha256:{'5' * 64}"
    assert said in doctor(host, "--image", reference).output
    assert "expected HOST/NAME@DIGEST" in doctor(host, "--image", "labram-python").output
