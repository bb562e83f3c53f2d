"""Checks through the Kubernetes API: volume, GPU pool, Secrets, ConfigMap, MLflow, Kubeflow Trainer.

A pod uses its service account, a person kubectl.
"""

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from labram.errors import PlatformError
from labram.platform.doctor.finding import Finding, failed, passed, warned

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Mount path of a pod's token, the API's CA certificate and the namespace name."""
ENVIRONMENT = "labram-environment"
SECONDS = 10
AUTOSCALED = "LABRAM_AUTOSCALED"
"""Environment variable, in the ConfigMap of tasks: `1` if nodes are added when a pod needs one."""
NOT_READY = "node.kubernetes.io/"
"""Prefix of the taints that Kubernetes itself gives to nodes that are not ready, or drained."""
APPLY = "kubectl apply -k k8s/overlays/OVERLAY"


@dataclass(frozen=True)
class Pool:
    """Nodes that a training task requests.

    Attributes:
        gpus: GPUs per node; 0 skips the check.
        nodes: Number of nodes.
        accelerator: Resource name of the GPUs.
        node_selector: Labels of the nodes.
        tolerations: Kubernetes tolerations.
    """

    gpus: int
    nodes: int = 1
    accelerator: str = "nvidia.com/gpu"
    node_selector: Mapping[str, str] = field(default_factory=lambda: {"labram.dev/pool": "gpu"})
    tolerations: Sequence[Mapping[str, Any]] = ({"key": "nvidia.com/gpu", "operator": "Exists"},)


def in_pod() -> bool:
    """Return whether this process runs in a pod with a service account."""
    return (ACCOUNT / "token").is_file()


def get(path: str) -> dict[str, Any] | None:
    """Return a document of the Kubernetes API, or None if it does not exist.

    Raises:
        PlatformError: If the API cannot be reached, or denies access.
    """
    return _as_pod(path) if in_pod() else _by_kubectl(path)


def _as_pod(path: str) -> dict[str, Any] | None:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    address = f"https://[{host}]:{port}{path}" if ":" in host else f"https://{host}:{port}{path}"
    token = (ACCOUNT / "token").read_text(encoding="utf-8").strip()
    try:
        response = requests.get(
            address, headers={"Authorization": f"Bearer {token}"}, verify=str(ACCOUNT / "ca.crt"), timeout=SECONDS
        )
    except requests.RequestException as error:
        raise PlatformError(
            f"the Kubernetes API does not respond ({type(error).__name__})",
            remedy="Allow egress from task pods to it in k8s/base/network.yaml",
        ) from error
    if response.status_code == requests.codes.not_found:
        return None
    if not response.ok:
        raise PlatformError(
            f"this pod's account may not read {path.partition('?')[0]} ({response.status_code})",
            remedy=f"Apply the roles of k8s/base/accounts.yaml: {APPLY}",
        )
    return dict(response.json())


def _by_kubectl(path: str) -> dict[str, Any] | None:
    command = ["kubectl", "get", "--raw", path, f"--request-timeout={SECONDS}s"]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=3 * SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PlatformError(f"kubectl cannot be run ({error})", remedy="Install kubectl") from error
    if done.returncode == 0:
        return dict(json.loads(done.stdout))
    if "NotFound" in done.stderr:
        return None
    lines = done.stderr.strip().splitlines() or ["no response"]
    raise PlatformError(f"kubectl: {lines[-1]}", remedy="Choose a cluster with `kubectl config use-context NAME`")


def containers(workload: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the containers of a Deployment; none if it does not exist."""
    return list((workload or {}).get("spec", {}).get("template", {}).get("spec", {}).get("containers", []))


def attempt(subject: str, check: Callable[..., Finding], *arguments: Any) -> Finding:
    """Run a check; return a warning if the API does not allow it."""
    try:
        return check(*arguments)
    except PlatformError as error:
        return warned(subject, f"could not be checked: {error.problem}", error.remedy)


def secret(namespace: str, name: str, keys: Sequence[str], *, together: Sequence[str] = ()) -> Finding:
    """Check that a Secret has all its keys, and none of them is empty. Values are not checked otherwise.

    Args:
        namespace: Its namespace.
        name: Its name.
        keys: Required keys.
        together: Keys of which it has all or none.
    """
    document = get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    subject, remedy = f"Secret {name}", "Create it as in docs/kubernetes.md, Secrets"
    if document is None:
        return failed(subject, f"missing in namespace {namespace}", remedy)
    data: Mapping[str, str] = document.get("data") or {}
    required = [*keys, *(together if any(key in data for key in together) else ())]
    missing = [key for key in required if key not in data]
    if missing:
        return failed(subject, f"missing keys: {', '.join(missing)}", remedy)
    empty = [key for key in required if not data[key]]
    return failed(subject, f"empty keys: {', '.join(empty)}", remedy) if empty else passed(subject, "present")


def settings(environment: Mapping[str, str]) -> Finding:
    """Check that the environment of tasks sets MLFLOW_TRACKING_URI; otherwise every run would use a local database."""
    subject, uri = f"ConfigMap {ENVIRONMENT}", environment.get("MLFLOW_TRACKING_URI")
    return passed(subject, f"MLflow is {uri}") if uri else failed(subject, "does not set MLFLOW_TRACKING_URI", APPLY)


def server(namespace: str) -> Finding:
    """Check that a pod of MLflow is ready."""
    deployment = get(f"/apis/apps/v1/namespaces/{namespace}/deployments/mlflow")
    if deployment is None:
        return failed("MLflow", "not installed", APPLY)
    ready = deployment.get("status", {}).get("availableReplicas", 0)
    if not ready:
        return failed("MLflow", "no pod is ready", f"See why: kubectl -n {namespace} describe pods -l app=mlflow")
    return passed("MLflow", f"{ready} pods ready")


def volume(namespace: str, claim: str) -> Finding:
    """Check that a claim is bound, or will be when a pod mounts it, and that all nodes can mount it."""
    subject = f"volume {claim}"
    document = get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}")
    if document is None:
        return failed(subject, "the PersistentVolumeClaim does not exist", APPLY)
    spec, phase = document["spec"], document.get("status", {}).get("phase", "")
    class_name = spec.get("storageClassName", "")
    storage = get(f"/apis/storage.k8s.io/v1/storageclasses/{class_name}") if class_name and phase != "Bound" else None
    if phase != "Bound" and storage is None:
        remedy = "Set one of `kubectl get storageclass` in the overlay, and delete the claim: its class is immutable"
        return failed(
            subject,
            f"unbound: {f'no storage class {class_name}' if class_name else 'no default storage class'}",
            remedy,
        )
    if "ReadWriteMany" not in spec["accessModes"] and len((get("/api/v1/nodes") or {}).get("items", [])) > 1:
        remedy = "Use a storage class with ReadWriteMany: NFS, CephFS, Filestore, EFS"
        return failed(subject, "only one node at a time can mount it, but the cluster has several", remedy)
    if phase != "Bound" and (storage or {}).get("volumeBindingMode") != "WaitForFirstConsumer":
        remedy = f"See why: kubectl -n {namespace} describe pvc {claim}"
        return failed(subject, f"unbound ({phase}): storage class {class_name} has provisioned no volume", remedy)
    return passed(subject, f"{phase}, {', '.join(spec['accessModes'])}")


def prepared(namespace: str, job: str) -> Finding:
    """Check that the Job which makes the volume writable has not failed. Kubernetes deletes it a day after its end."""
    subject = f"Job {job}"
    status = (get(f"/apis/batch/v1/namespaces/{namespace}/jobs/{job}") or {}).get("status")
    if status and status.get("failed") and not status.get("succeeded"):
        remedy = f"See why: kubectl -n {namespace} logs job/{job}"
        return failed(subject, "it could not make the volume writable for tasks", remedy)
    if status and not status.get("succeeded"):
        return warned(subject, "it has not made the volume writable yet", f"kubectl -n {namespace} describe job {job}")
    return passed(subject, "the volume is writable" if status else "finished more than a day ago, or never applied")


def pool(request: Pool, *, autoscaled: bool) -> Finding:
    """Check that nodes have enough GPUs, and no taint that the training tasks do not tolerate.

    Args:
        request: The nodes that a training requests.
        autoscaled: Nodes are added when a pod needs one, so that an empty pool is a warning.
    """
    subject, labels = "GPU pool", ",".join(f"{key}={value}" for key, value in request.node_selector.items())
    nodes = (get(f"/api/v1/nodes?labelSelector={labels}" if labels else "/api/v1/nodes") or {}).get("items", [])
    create_pool = "Create the pool (k8s/pools), or ignore this if it is autoscaled"
    if not nodes:
        if autoscaled:
            return warned(subject, f"no node has the label {labels}", create_pool)
        remedy = f"Create the pool (k8s/pools), or set gpus to 0; set {AUTOSCALED}=1 if its nodes are added on demand"
        return failed(subject, f"no node has the label {labels}" if labels else "the cluster has no nodes", remedy)
    large = [node for node in nodes if _gpus(node, request.accelerator) >= request.gpus]
    if not large:
        remedy = "Request fewer (parameter gpus), use larger machines, or install NVIDIA's device plug-in"
        most = max(_gpus(node, request.accelerator) for node in nodes)
        detail = f"a task requests {request.gpus} GPUs per node; the largest of {len(nodes)} nodes has {most}"
        return failed(subject, detail, remedy)
    taints = [untolerated(node, request.tolerations) for node in large]
    if all(taints):
        if all(any(taint.startswith(NOT_READY) for taint in node) for node in taints):
            remedy = "See why: kubectl describe nodes"
            return failed(subject, f"its nodes are not ready (taint {taints[0][0]})", remedy)
        remedy = "Add it to the parameter tolerations, as in k8s/pools/README.md"
        return failed(subject, f"the taint {taints[0][0]} of its nodes is not tolerated by training tasks", remedy)
    if (usable := taints.count([])) < request.nodes:
        return warned(subject, f"training requests {request.nodes} nodes; the pool has {usable}", create_pool)
    return passed(subject, f"{usable} of {len(nodes)} nodes have {request.gpus} GPUs or more")


def _gpus(node: dict[str, Any], accelerator: str) -> int:
    return int(node["status"]["allocatable"].get(accelerator, 0))


def untolerated(node: dict[str, Any], tolerations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the taints of a node that are not tolerated. Drained nodes have one too."""
    return [
        f"{taint['key']}={taint.get('value', '')}:{taint['effect']}"
        for taint in node.get("spec", {}).get("taints", [])
        if taint["effect"] != "PreferNoSchedule" and not any(_tolerates(entry, taint) for entry in tolerations)
    ]


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Return whether a toleration matches: no key with ``Exists`` matches every key, no effect every effect."""
    if toleration.get("effect") not in {None, "", taint["effect"]}:
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in {None, "", taint["key"]}
    return (toleration.get("key"), toleration.get("value", "")) == (taint["key"], taint.get("value", ""))


def trainer(runtime: str) -> Finding:
    """Check that Kubeflow Trainer and the runtime of multi-node trainings are installed."""
    if get(f"/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes/{runtime}") is None:
        remedy = "Install Kubeflow Trainer 2.3 or later, and apply an overlay with k8s/components/training"
        return failed("Kubeflow Trainer", f"no ClusterTrainingRuntime {runtime}", remedy)
    return passed("Kubeflow Trainer", f"ClusterTrainingRuntime {runtime} is installed")
