"""The overlays in each kind of namespace, by the rules of a real cluster: see `cluster_rules`."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from labram.steps.sizes import load
from tests.k8s.cluster_rules import (
    KFP_PODS,
    PROFILE_LABELS,
    conflicts,
    may_reach,
    requested,
    security_violations,
    selects,
)

K8S = Path(__file__).parents[2] / "k8s"
PLACES = {"local": "kubeflow", "cloud": "profile", "airgapped": "namespace"}
"""The kind of namespace that each overlay is for."""
TASK = {"workflows.argoproj.io/workflow": "retrain-x7k2p"}
KUBEFLOW = {"kubernetes.io/metadata.name": "kubeflow", "app.kubernetes.io/part-of": "kubeflow"}
SYSTEM = {"kubernetes.io/metadata.name": "kube-system"}
DNS = {"k8s-app": "kube-dns"}


def pods(part: object) -> Iterator[dict]:
    """Pod specifications with their labels, at any depth."""
    if isinstance(part, dict):
        if isinstance(part.get("spec"), dict) and part["spec"].get("containers"):
            yield part
        for value in part.values():
            yield from pods(value)
    elif isinstance(part, list):
        for item in part:
            yield from pods(item)


@pytest.fixture(params=PLACES)
def overlay(request, rendered) -> tuple[str, list[dict]]:
    return PLACES[request.param], rendered[f"overlays/{request.param}"]


def policies(documents: list[dict]) -> list[dict]:
    return [item["spec"] for item in documents if item["kind"] == "NetworkPolicy"]


def test_a_profile_is_neither_owned_nor_labelled(rendered) -> None:
    """With `part-of: labram`, Kubeflow's policies would cut our pods off from its services."""
    assert not any(item["kind"] in {"Namespace", "ResourceQuota", "LimitRange"} for item in rendered["overlays/cloud"])
    assert conflicts(PROFILE_LABELS, "labram", rendered["overlays/cloud"]) == []
    assert conflicts(PROFILE_LABELS, "labram", rendered["overlays/airgapped"]) == ["pod-security.kubernetes.io/enforce"]


def test_pods_are_admitted_where_they_run(overlay) -> None:
    place, documents = overlay
    level = "restricted" if place == "namespace" else "baseline"
    found = {pod["spec"]["containers"][0]["name"]: list(security_violations(pod["spec"], level))
             for item in documents for pod in pods(item)}  # fmt: skip
    assert len(found) >= 5
    assert all(violations == [] for violations in found.values()), found


def test_the_model_of_pod_security_finds_what_is_wrong() -> None:
    pod = {"containers": [{"name": "c", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}
    assert list(security_violations(pod, "baseline")) == ["c: capabilities ['SYS_ADMIN']"]
    assert len(list(security_violations(pod, "restricted"))) == 5


@pytest.mark.parametrize(
    ("source", "port", "target"),
    [
        (TASK, 8888, {"namespace": KUBEFLOW, "pod": {"app": "ml-pipeline"}}),
        (TASK, 8887, {"namespace": KUBEFLOW, "pod": {"app": "ml-pipeline"}}),
        (TASK, 8080, {"namespace": KUBEFLOW, "pod": {"component": "metadata-grpc-server"}}),
        (TASK, 8333, {"namespace": KUBEFLOW, "pod": {"app": "seaweedfs"}}),
        (TASK, 5000, {"pod": {"app": "mlflow"}}),
        (TASK, 6443, {"pod": None}),
        ({"app": "mlflow"}, 5432, {"pod": {"app": "database"}}),
        ({"app": "database-backup"}, 5432, {"pod": {"app": "database"}}),
        ({"app": "labram-runs"}, 8888, {"namespace": KUBEFLOW, "pod": {"app": "ml-pipeline"}}),
        ({"app": "labram-runs"}, 5000, {"pod": {"app": "mlflow"}}),
        ({"app": "labram-runs"}, 6443, {"pod": None}),
        *((labels, 53, {"namespace": SYSTEM, "pod": DNS, "protocol": "UDP"})
          for labels in (TASK, {"app": "mlflow"}, {"app": "labram-runs"}, {"app": "database-backup"})),
    ],
)  # fmt: skip
def test_what_pods_need_is_open(overlay, source, port, target) -> None:
    assert may_reach(policies(overlay[1]), source, port, **target)


def test_what_they_do_not_need_is_closed(rendered) -> None:
    theirs = policies(rendered["overlays/airgapped"])
    assert not may_reach(theirs, {"app": "mlflow"}, 22, pod=None)
    assert not may_reach(theirs, {"app": "database"}, 443, pod=None)
    assert not may_reach(theirs, {"app": "anything"}, 80, pod={"app": "x"}, namespace=KUBEFLOW)
    assert not may_reach(theirs, TASK, 443, pod={"app": "x"}, namespace={"kubernetes.io/metadata.name": "other"})


def test_no_pod_of_others_is_restricted_in_a_namespace_of_theirs(rendered) -> None:
    """Notebooks and workflows of a Profile's owner, and Kubeflow Pipelines itself, in its own namespace."""
    for overlay, others in (("cloud", [{"notebook-name": "n"}]), ("local", [*KFP_PODS, TASK])):
        for policy in policies(rendered[f"overlays/{overlay}"]):
            assert not any(selects(policy["podSelector"], labels) for labels in others), policy


def test_sidecars_are_not_injected(overlay) -> None:
    """KFP opts its own pods out. Jobs with sidecars never complete, and policies keep sidecars from istiod."""
    for item in overlay[1]:
        for pod in pods(item):
            assert pod.get("metadata", {}).get("labels", {}).get("sidecar.istio.io/inject") == "false", item["kind"]


@pytest.mark.parametrize("profile", ["small", "standard"])
def test_services_and_a_run_fit_into_the_quota(rendered, profile) -> None:
    """All services, and the largest step as often as runs at once; each with a driver of KFP beside it."""
    documents = rendered["overlays/airgapped"]
    (quota,) = (item["spec"]["hard"] for item in documents if item["kind"] == "ResourceQuota")
    (limits,) = (item for item in documents if item["kind"] == "LimitRange")
    services = [pod["spec"] for item in documents for pod in pods(item) if item["kind"] not in {"InferenceService"}]
    driver = {"containers": [{"name": "driver"}, {"name": "wait"}]}
    sizes = load(profile)
    largest = max(sizes.steps.values(), key=lambda size: size.memory[1])
    task = {"requests": {"cpu": largest.cpu[0], "memory": largest.memory[0]},
            "limits": {"cpu": largest.cpu[1], "memory": largest.memory[1]}}  # fmt: skip
    at_once = [{"containers": [{"name": "main", "resources": task}]}, driver] * (sizes.parallelism or 2)
    counted = [requested(pod, limits) for pod in [*services, *at_once]]
    from labram.platform.quantities import parse

    for resource in counted[0]:
        assert sum(pod[resource] for pod in counted) <= float(parse(quota[resource]))


def test_two_teams_share_a_cluster(tmp_path, rendered) -> None:
    """Objects of the whole cluster differ by name, or are equal."""

    def of_team(namespace: str) -> dict[tuple[str, str], dict]:
        folder = tmp_path / namespace
        folder.mkdir()
        text = (K8S / "overlays/cloud/kustomization.yaml").read_text()
        text = text.replace("namespace: labram", f"namespace: {namespace}")
        (folder / "kustomization.yaml").write_text(text.replace("../../", f"{os.path.relpath(K8S, folder)}/"))
        done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (folder / "rendered.yaml").write_text(done.stdout)
        documents = list(yaml.safe_load_all(done.stdout))
        return {(i["kind"], i["metadata"]["name"]): i for i in documents if not i["metadata"].get("namespace")}

    first, second = of_team("team-a"), of_team("team-b")
    assert ("ClusterRoleBinding", "labram-preflight:team-a") in first
    assert first[("ClusterRoleBinding", "labram-preflight:team-a")]["subjects"][0]["namespace"] == "team-a"
    assert all(first[key] == second[key] for key in first.keys() & second.keys())
    whole = (tmp_path / "team-a" / "rendered.yaml").read_text()
    alerts = next(i for i in yaml.safe_load_all(whole) if i["kind"] == "PrometheusRule")
    assert set(re.findall(r'namespace="([^"]*)"', yaml.safe_dump(alerts, width=1000))) == {"team-a"}


def test_the_local_overlay_needs_no_bucket(rendered) -> None:
    documents = rendered["overlays/local"]
    (server,) = (i for i in documents if i["kind"] == "Deployment" and i["metadata"]["name"] == "mlflow")
    (settings,) = (i for i in documents if i["kind"] == "ConfigMap" and i["metadata"]["name"] == "mlflow-server")
    (claim,) = (
        i for i in documents if i["kind"] == "PersistentVolumeClaim" and i["metadata"]["name"] == "mlflow-artifacts"
    )
    destination = settings["data"]["MLFLOW_ARTIFACTS_DESTINATION"]
    pod = server["spec"]["template"]["spec"]
    volume = next(
        v["name"]
        for v in pod["volumes"]
        if v.get("persistentVolumeClaim", {}).get("claimName") == claim["metadata"]["name"]
    )
    assert {"name": volume, "mountPath": destination} in pod["containers"][0]["volumeMounts"]
    assert "s3://" not in yaml.safe_dump_all(documents)


def test_a_volume_of_root_becomes_writable_for_tasks(overlay) -> None:
    """Tasks are user 65532 of group 0, without fsGroup; the Job has it, and where allowed a container as root."""
    place, documents = overlay
    (job,) = (i for i in documents if i["kind"] == "Job" and i["metadata"]["name"] == "labram-volume")
    pod = job["spec"]["template"]["spec"]
    context = pod["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (65532, 0, 0)
    owners = [c["command"][-1] for c in pod.get("initContainers", []) if c["securityContext"]["runAsUser"] == 0]
    assert owners == ([] if place == "namespace" else ["chown 65532:0 /workspace && chmod 2775 /workspace"])
    (claim,) = (v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"])
    assert claim == "labram-workspace"


@pytest.mark.parametrize(("mode", "code"), [(0o755, 0), (0o555, 1)])
def test_the_job_states_that_a_volume_is_not_writable(rendered, tmp_path, mode, code) -> None:
    (job,) = (i for i in rendered["overlays/airgapped"] if i["kind"] == "Job")
    script = job["spec"]["template"]["spec"]["containers"][0]["command"][-1]
    volume = tmp_path / "volume"
    volume.mkdir(mode=mode)
    user = {"user": 65532, "group": 0, "extra_groups": []} if os.getuid() == 0 else {}
    if user:
        os.chown(volume, 65532, 0)
        for folder in (tmp_path, *tmp_path.parents):
            if not folder.stat().st_mode & 0o001:
                folder.chmod(0o755)
    done = subprocess.run(
        ["sh", "-uc", script.replace("/workspace", str(volume))], capture_output=True, text=True, cwd="/", **user
    )
    assert done.returncode == code, done.stderr
    assert ("not writable for user 65532 of group 0" in done.stdout) == bool(code)
