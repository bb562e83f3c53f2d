"""The first task of a run, in its pod: it starts whatever is missing, and says what that is and how to mend it."""

import json
import logging
import threading
from collections.abc import Iterator

import pytest
import requests

from labram.errors import PlatformError
from labram.steps.preflight import preflight
from labram.tracking import lineage

CLAIM = "/api/v1/namespaces/labram/persistentvolumeclaims/labram-workspace"
CLASS = "/apis/storage.k8s.io/v1/storageclasses/shared-files"
NODES = "/api/v1/nodes?labelSelector=labram.dev/pool=gpu"
RUNTIME = "/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes/labram-torch"
TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


def claim(phase: str = "Bound", mode: str = "ReadWriteMany") -> dict:
    return {"spec": {"storageClassName": "shared-files", "accessModes": [mode]}, "status": {"phase": phase}}


REQUESTS = {
    "tokenizer": {"cpu": "4", "memory": "24Gi", "limits.cpu": "16", "limits.memory": "64Gi", "pool": "gpu"},
    "quality": {"cpu": "1", "memory": "8Gi", "limits.cpu": "4", "limits.memory": "16Gi"},
}
LABELS = {"labels": {"labram.dev/pool": "gpu"}}
LIMIT_RANGES = "/api/v1/namespaces/labram/limitranges"
QUOTAS = "/api/v1/namespaces/labram/resourcequotas"


def nodes(*gpus: str, taint: dict = TAINT, cpu: str = "15890m", memory: str = "62Gi") -> dict:
    """Nodes of the pool, and one without GPUs and taint."""
    sizes = {"cpu": cpu, "memory": memory}
    pool = [
        {"metadata": LABELS, "spec": {"taints": [taint]}, "status": {"allocatable": {"nvidia.com/gpu": n, **sizes}}}
        for n in gpus
    ]
    return {"items": pool}


def with_others(pool: dict, cpu: str = "3920m", memory: str = "14Gi", **spec: object) -> dict:
    return {"items": [*pool["items"], {"spec": spec, "status": {"allocatable": {"cpu": cpu, "memory": memory}}}]}


def asked(**changes: object) -> None:
    parameters = {
        "gpus": "4",
        "accelerator": "nvidia.com/gpu",
        "node_selector": {"labram.dev/pool": "gpu"},
        "tolerations": [TOLERATION],
        "volume": "labram-workspace",
        "requests": REQUESTS,
        "commit": lineage.commit(),
    }
    preflight(**{**parameters, **changes})


@pytest.fixture
def commit(monkeypatch) -> Iterator[None]:
    """The image is of a commit, whatever has changed in this clone."""
    monkeypatch.setenv("LABRAM_COMMIT", "c" * 40)
    lineage.source_state.cache_clear()
    yield
    lineage.source_state.cache_clear()


@pytest.fixture
def healthy(state, pod, host, commit, monkeypatch) -> dict[str, dict]:
    """A pod of a cluster on which nothing is missing; tests take something away."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{host}/mlflow")
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", host)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "labram")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "x")
    state.tracking = 200
    state.documents |= {
        CLAIM: claim(),
        NODES: nodes("4", "8"),
        "/api/v1/nodes": with_others(nodes("4", "8"), "8", "30Gi"),
    }
    return state.documents


def test_nothing_is_said_where_nothing_is_missing(healthy) -> None:
    asked()


@pytest.mark.parametrize(
    ("path", "document", "said", "remedy"),
    [
        (CLAIM, None, "volume labram-workspace: the PersistentVolumeClaim does not exist", "apply -k"),
        (CLAIM, claim(phase="Pending"), "no storage class shared-files", "kubectl get storageclass"),
        (CLAIM, claim(mode="ReadWriteOnce"), "only one node at a time", "ReadWriteMany: NFS"),
        (NODES, nodes("1", "2"), "a task requests 4 GPUs per node; the largest of 2 nodes has 2", "parameter gpus"),
        (NODES, nodes("8", taint={**TAINT, "key": "team"}), "the taint team=present:NoSchedule", "tolerations"),
    ],
)
def test_what_the_cluster_lacks_is_named_with_its_remedy(healthy, path, document, said, remedy) -> None:
    healthy[path] = document
    with pytest.raises(PlatformError) as refusal:
        asked()
    assert said in refusal.value.problem
    assert remedy in refusal.value.remedy


def test_a_volume_that_comes_with_its_first_pod_is_no_fault(healthy) -> None:
    healthy[CLAIM] = claim(phase="Pending")
    healthy[CLASS] = {"volumeBindingMode": "WaitForFirstConsumer"}
    asked()


@pytest.mark.parametrize(
    ("variables", "status", "said", "remedy"),
    [
        ({"MLFLOW_TRACKING_USERNAME": ""}, 401, "requires an account (401)", "labram-mlflow-user"),
        ({}, 401, "rejects this account", "Correct the Secret"),
        ({"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, 200, "does not respond", "its pods are ready"),
        ({"MLFLOW_TRACKING_URI": ""}, 200, "does not set MLFLOW_TRACKING_URI", "apply -k"),
        ({"LABRAM_STORE": "s3://patches", "AWS_EC2_METADATA_DISABLED": "1"}, 200, "no credentials", "labram-storage"),
        ({"LABRAM_STORE": "s3://patches", "AWS_ACCESS_KEY_ID": "k"}, 200, "one half of the credentials", "both keys"),
        ({"LABRAM_NODES": "2", "LABRAM_TRAIN_JOB": "{"}, 200, "training on 2 nodes needs", "Set it to JSON"),
    ],
)  # fmt: skip
def test_a_missing_secret_or_server_is_named(healthy, state, monkeypatch, variables, status, said, remedy) -> None:
    state.tracking = status
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/nonexistent", **variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PlatformError) as refusal:
        asked()
    assert said in refusal.value.problem
    assert remedy in refusal.value.remedy


def test_the_bucket_of_the_store_is_asked_for(healthy, bucket, monkeypatch) -> None:
    monkeypatch.setenv("LABRAM_STORE", f"{bucket}/patches")
    with pytest.raises(PlatformError, match=r"requires a shared subject key.*Secret labram-storage"):
        asked()
    monkeypatch.setenv("LABRAM_SUBJECT_KEY", "0123")
    asked()
    monkeypatch.setenv("LABRAM_STORE", f"{bucket}-elsewhere/patches")
    with pytest.raises(PlatformError, match=r"object store: no bucket \S+-elsewhere\. Create it, or correct"):
        asked()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(PlatformError, match=r"object store: does not respond .*AWS_ENDPOINT_URL"):
        asked()


def test_an_old_back_end_is_named(healthy, state) -> None:
    state.health = {"multi_user": True}
    with pytest.raises(PlatformError, match=r"older than 2\.14.*Upgrade"):
        asked()


def test_all_that_is_wrong_is_said_at_once(healthy, state) -> None:
    healthy[CLAIM], healthy[NODES], state.tracking = None, nodes("0"), 401
    with pytest.raises(PlatformError, match=r"MLflow.*volume.*GPU pool"):
        asked()


def test_what_the_account_may_not_read_and_what_may_yet_grow_are_doubts(healthy, state, caplog, monkeypatch) -> None:
    healthy[NODES] = {"items": []}
    state.forbidden = {CLAIM}
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("LABRAM_AUTOSCALED", "1")
    with caplog.at_level(logging.INFO):
        asked()
    assert "could not be checked: this pod's account may not read" in caplog.text
    assert "Kubeflow Pipelines: could not be checked" in caplog.text, "it has started this pod, so it is there"
    assert "no node has the label labram.dev/pool=gpu" in caplog.text


def test_a_training_over_several_nodes_wants_trainer_and_as_many_nodes(healthy, monkeypatch, caplog) -> None:
    described = {"image": "x", "resources": {"nvidia.com/gpu": "8"}, "node_selector": {"labram.dev/pool": "gpu"}}
    monkeypatch.setenv("LABRAM_NODES", "2")
    monkeypatch.setenv("LABRAM_TRAIN_JOB", json.dumps({**described, "tolerations": [TOLERATION]}))
    with pytest.raises(PlatformError, match=r"Kubeflow Trainer: no ClusterTrainingRuntime labram-torch"):
        asked(gpus="0")
    healthy[RUNTIME] = {"kind": "ClusterTrainingRuntime"}
    with caplog.at_level(logging.INFO):
        asked(gpus="0")
    assert "training requests 2 nodes; the pool has 1" in caplog.text
    healthy[NODES] = nodes("8", "8")
    asked(gpus="0")
    healthy[QUOTAS] = {"items": [{"metadata": {"name": "team"}, "spec": {"hard": {"requests.nvidia.com/gpu": "8"}}}]}
    with pytest.raises(PlatformError, match=r"8 of nvidia\.com/gpu in all, .* one task of a TrainJob on 2 nodes"):
        asked(gpus="0")
    del healthy[QUOTAS]
    large = json.dumps(
        {**described, "resources": {"nvidia.com/gpu": "8", "memory": "256Gi"}, "tolerations": [TOLERATION]}
    )
    monkeypatch.setenv("LABRAM_TRAIN_JOB", large)
    with pytest.raises(PlatformError, match=r"TrainJob: no node can ever hold TrainJob \(4 CPU, 256Gi, 8 GPUs on one"):
        asked(gpus="0")


@pytest.mark.parametrize("gpus", ["", "four", "-1"])
def test_what_is_no_number_of_gpus_is_named(healthy, gpus) -> None:
    with pytest.raises(PlatformError, match="expected a whole number"):
        asked(gpus=gpus)


def test_on_a_laptop_only_the_servers_that_are_named_are_asked(monkeypatch) -> None:
    asked()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(PlatformError, match=r"MLflow: .*does not respond"):
        asked()


@pytest.mark.parametrize(
    ("all_nodes", "step"),
    [
        (with_others(nodes("4"), cpu="2", memory="7Gi"), "quality (1 CPU, 8Gi)"),
        (with_others(nodes("4"), cpu="500m"), "quality (1 CPU, 8Gi)"),
        (with_others(nodes("4"), taints=[{"key": "team", "effect": "NoSchedule"}]), "quality (1 CPU, 8Gi)"),
        (with_others(nodes("4", memory="16Gi"), memory="128Gi"), "tokenizer (4 CPU, 24Gi, 4 GPUs on one node)"),
        (with_others(nodes("4", cpu="2"), cpu="64"), "tokenizer (4 CPU, 24Gi, 4 GPUs on one node)"),
    ],
)
def test_a_step_that_can_never_fit_is_named_with_what_nodes_have(healthy, monkeypatch, all_nodes, step) -> None:
    healthy["/api/v1/nodes"] = all_nodes
    with pytest.raises(PlatformError) as refusal:
        asked()
    assert f"no node can ever hold {step}; the largest of 2 nodes allocates" in refusal.value.problem
    assert "--sizes small" in refusal.value.remedy
    monkeypatch.setenv("LABRAM_AUTOSCALED", "1")
    asked()


def test_without_gpus_trainings_go_to_any_node_unless_they_have_a_node_selector(healthy) -> None:
    """KFP's node selector holds without GPUs too: such a pod would be pending for ever."""
    healthy["/api/v1/nodes"] = with_others({"items": []}, cpu="8", memory="30Gi")
    asked(gpus="0", node_selector={}, tolerations=[])
    healthy["/api/v1/nodes?labelSelector=labram.dev/pool=cpu"] = {"items": []}
    with pytest.raises(PlatformError, match=r"GPU pool: no node has the label labram\.dev/pool=cpu"):
        asked(gpus="0", node_selector={"labram.dev/pool": "cpu"})


def test_gpus_and_memory_must_be_on_one_node(healthy) -> None:
    """The pool has a node with the GPUs and one with the memory, but none with both."""
    healthy["/api/v1/nodes"] = with_others({"items": [*nodes("4", memory="8Gi")["items"], *nodes("1")["items"]]}, "8")
    with pytest.raises(PlatformError, match=r"no node can ever hold tokenizer \(4 CPU, 24Gi, 4 GPUs on one node\)"):
        asked()


def test_a_step_with_gpus_of_its_own_is_checked_for_them(healthy) -> None:
    own = {"evaluate": {"cpu": "1", "memory": "8Gi", "pool": "gpu", "gpus": "2"}}
    asked(gpus="0", requests=own)
    healthy[NODES] = nodes("1")
    with pytest.raises(PlatformError, match="a task requests 2 GPUs per node; the largest of 1 nodes has 1"):
        asked(gpus="0", requests=own)


@pytest.mark.parametrize(
    ("hard", "said"),
    [
        ({"requests.cpu": "3500m"}, "3500m of cpu"),
        ({"memory": "20Gi"}, "20Gi of memory"),
        ({"limits.memory": "32Gi"}, "32Gi of limits.memory"),
        ({"requests.nvidia.com/gpu": "2", "pods": "100", "count/jobs.batch": "3"}, "2 of nvidia.com/gpu"),
    ],
)
def test_a_quota_below_one_task_is_named(healthy, hard, said) -> None:
    healthy[QUOTAS] = {"items": [{"metadata": {"name": "team"}, "spec": {"hard": hard}}]}
    with pytest.raises(PlatformError) as refusal:
        asked()
    assert f"ResourceQuota team: it allows {said} in all, less than one task of tokenizer" in refusal.value.problem


def test_a_quota_without_defaults_for_kfps_own_containers_is_a_doubt(healthy, caplog) -> None:
    """A quota rejects pods whose containers do not set what it counts; a LimitRange sets it for them."""
    healthy[QUOTAS] = {
        "items": [{"metadata": {"name": "team"}, "spec": {"hard": {"cpu": "99", "limits.memory": "1Ti"}}}]
    }
    with caplog.at_level(logging.INFO):
        asked()
    assert "ResourceQuota team: it counts cpu, limits.memory, for which no LimitRange has a default" in caplog.text
    caplog.clear()
    default = {"type": "Container", "defaultRequest": {"cpu": "100m"}, "default": {"memory": "1Gi"}}
    healthy[LIMIT_RANGES] = {"items": [{"spec": {"limits": [default]}}]}
    with caplog.at_level(logging.INFO):
        asked()
    assert "LimitRange" not in caplog.text


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"type": "Container", "max": {"memory": "32Gi"}}, "at most 32Gi of memory; tokenizer would be rejected"),
        ({"type": "Pod", "max": {"cpu": "8"}}, "at most 8 of cpu; tokenizer would be rejected"),
        ({"type": "Container", "min": {"cpu": "2"}}, "at least 2 of cpu; quality would be rejected"),
    ],
)
def test_a_limit_range_that_rejects_a_step_is_named(healthy, limit, said) -> None:
    healthy[LIMIT_RANGES] = {"items": [{"metadata": {"name": "team"}, "spec": {"limits": [limit]}}]}
    with pytest.raises(PlatformError, match=rf"LimitRange team: a container may have {said}"):
        asked()


def test_nodes_of_another_architecture_are_named(healthy, caplog) -> None:
    """Our images are for amd64; without a taint, pods are scheduled on arm64 too and end with `exec format error`."""
    foreign = {"kubernetes.io/arch": "arm64", "kubernetes.io/os": "linux"}
    healthy["/api/v1/nodes"]["items"][-1]["metadata"] = {"labels": foreign}
    with pytest.raises(PlatformError, match="1 of 1 nodes are linux/arm64; images are linux/amd64"):
        asked()
    healthy["/api/v1/nodes"]["items"].append({"status": {"allocatable": {"cpu": "8", "memory": "30Gi"}}})
    with caplog.at_level(logging.INFO):
        asked()
    assert "nodes: 1 of 2 nodes are linux/arm64" in caplog.text


def test_a_network_that_drops_packets_costs_one_time_out(healthy, monkeypatch) -> None:
    """A NetworkPolicy rejects nothing: every connection hangs until its own limit. So all hang together, once each."""
    together = threading.Barrier(9, timeout=20)

    def hangs(*_: object, **__: object):
        together.wait()
        raise requests.exceptions.ConnectTimeout

    monkeypatch.setattr(requests.Session, "request", hangs)
    with pytest.raises(PlatformError, match=r"MLflow: .* does not respond \(ConnectTimeout\)"):
        asked()


def test_nodes_that_are_not_ready_want_no_toleration(healthy) -> None:
    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    healthy[NODES] = nodes("8", taint=taint)
    with pytest.raises(PlatformError) as refusal:
        asked()
    assert "its nodes are not ready" in refusal.value.problem
    assert "describe nodes" in refusal.value.remedy


def test_an_image_of_another_commit_is_named(healthy) -> None:
    with pytest.raises(PlatformError, match=r"LABRAM_IMAGE: the image is of commit .*, the pipeline of ffffffffffff"):
        asked(commit="f" * 40)
    asked(commit="unknown")


def test_an_image_of_changed_files_is_named(healthy, monkeypatch) -> None:
    monkeypatch.setenv("LABRAM_COMMIT", f"{'a' * 40}-dirty")
    lineage.source_state.cache_clear()
    with pytest.raises(PlatformError, match="aaaaaaaaaaaa with uncommitted changes, the pipeline of aaaaaaaaaaaa"):
        asked(commit="a" * 40)


def test_a_bucket_of_mlflow_that_does_not_exist_is_named(healthy, state) -> None:
    asked()
    state.artifacts = 500
    with pytest.raises(PlatformError, match=r"MLflow's artifacts: the server cannot store files \(500\).*the bucket"):
        asked()


def test_a_cluster_without_gpus_is_named_unless_it_grows(healthy, monkeypatch) -> None:
    healthy[NODES] = {"items": []}
    with pytest.raises(PlatformError) as refusal:
        asked()
    assert "GPU pool: no node has the label labram.dev/pool=gpu" in refusal.value.problem
    assert "set gpus to 0" in refusal.value.remedy
    monkeypatch.setenv("LABRAM_AUTOSCALED", "1")
    asked()
