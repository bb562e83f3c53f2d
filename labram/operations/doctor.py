"""What is missing, said before an hour is lost: on this machine or in this pod, and on a cluster seen from outside."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import requests

from labram.errors import PlatformError
from labram.operations.cluster import Cluster

SECONDS = 10
FREE_GIB = 2
SECRETS = {
    "labram-database": ("password",),
    "labram-mlflow-server": ("backend-store-uri", "flask-secret-key", "admin-password", "basic_auth.ini"),
    "labram-mlflow-user": ("username", "password"),
}
"""Secrets that the manifests cannot do without, and their keys. `labram-storage` is optional: a pod may have a role."""
POOL = "labram.dev/pool=gpu"


@dataclass(frozen=True)
class Finding:
    """The result of one check; `remedy` is empty where nothing is wrong."""

    subject: str
    state: Literal["fine", "doubtful", "wrong"]
    detail: str
    remedy: str = ""


def _fine(subject: str, detail: str) -> Finding:
    return Finding(subject, "fine", detail)


def _wrong(subject: str, detail: str, remedy: str) -> Finding:
    return Finding(subject, "wrong", detail, remedy)


def here(workspace: Path) -> Iterator[Finding]:
    """Check what a task finds around it: the workspace, and MLflow's server if there is one."""
    yield _workspace(workspace)
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith("http"):
        yield mlflow(uri)


def require(findings: Iterator[Finding]) -> None:
    """Go on only if nothing is wrong.

    Raises:
        PlatformError: Says all that is wrong, and how to mend it.
    """
    wrong = [finding for finding in findings if finding.state == "wrong"]
    if wrong:
        raise PlatformError(
            "; ".join(f"{finding.subject}: {finding.detail}" for finding in wrong),
            remedy="; ".join(finding.remedy for finding in wrong),
        )


def _workspace(folder: Path) -> Finding:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free / 2**30
    except OSError as error:
        remedy = "Mount a volume that this user may write to, or name another folder with --workspace"
        return _wrong("workspace", f"{folder} cannot be written to ({error.strerror})", remedy)
    if free < FREE_GIB:
        return _wrong("workspace", f"{free:.1f} GiB are left on {folder}", "Make room, or a larger volume")
    return _fine("workspace", f"{folder} can be written to, {free:.0f} GiB are free")


def mlflow(uri: str) -> Finding:
    """Ask MLflow's server something that needs an account, since its health page answers whoever asks."""
    account = (os.environ.get("MLFLOW_TRACKING_USERNAME", ""), os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
    try:
        answer = requests.post(
            f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search",
            json={"max_results": 1},
            auth=account if account[0] else None,
            timeout=SECONDS,
        )
    except requests.RequestException as error:
        remedy = (
            "See that its pods are ready (kubectl -n labram get pods -l app=mlflow) and the network lets you through"
        )
        return _wrong("MLflow", f"{uri} does not answer ({type(error).__name__})", remedy)
    if answer.ok:
        return _fine("MLflow", f"{uri} answers")
    problem, remedy = f"answers with {answer.status_code}", "Read its log: kubectl -n labram logs deploy/mlflow"
    if "Host header" in answer.text:
        problem, remedy = "refuses this host name (403)", "Add it to --allowed-hosts in k8s/base/mlflow.yaml"
    elif answer.status_code in {401, 403}:
        problem, remedy = f"does not know this account ({answer.status_code})", "Correct the Secret labram-mlflow-user"
    return _wrong("MLflow", f"{uri} {problem}", remedy)


def cluster(pipelines: Cluster, namespace: str, gpus: int) -> Iterator[Finding]:
    """Check a cluster from outside, with the rights of kubectl here.

    Args:
        pipelines: Kubeflow Pipelines.
        namespace: Of the manifests.
        gpus: That one training task asks for; with 0 the pool is not looked at.
    """
    yield _pipelines(pipelines)
    try:
        _get("/version")
    except PlatformError as error:
        yield _wrong("Kubernetes", error.problem, error.remedy)
        return
    checks: list[Callable[[str], Finding]] = [_settings, _volume, _server]
    for name, keys in SECRETS.items():
        yield _secret(namespace, name, keys)
    for check in checks:
        yield check(namespace)
    if gpus:
        yield _pool(gpus)


def _pipelines(pipelines: Cluster) -> Finding:
    try:
        health = pipelines.health()
    except PlatformError as error:
        return _wrong("Kubeflow Pipelines", f"{pipelines.host}: {error.problem}", error.remedy)
    if not health.get("pipeline_store"):
        remedy = "Upgrade to 2.14 or later: older ones ignore GPUs, limits and pools that are parameters"
        return _wrong("Kubeflow Pipelines", f"the server at {pipelines.host} is older than 2.14", remedy)
    return _fine("Kubeflow Pipelines", f"{pipelines.host} answers")


def _get(path: str) -> dict[str, Any] | None:
    """A document of the Kubernetes API, or None if it is not there.

    Raises:
        PlatformError: If kubectl is absent, or cannot reach or enter the cluster.
    """
    command = ["kubectl", "get", "--raw", path, f"--request-timeout={SECONDS}s"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=3 * SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PlatformError(f"kubectl cannot be run ({error})", remedy="Install kubectl") from error
    if done.returncode == 0:
        return dict(json.loads(done.stdout))
    if "NotFound" in done.stderr:
        return None
    lines = done.stderr.strip().splitlines() or ["no answer"]
    raise PlatformError(f"kubectl: {lines[-1]}", remedy="Choose a cluster with `kubectl config use-context NAME`")


def _secret(namespace: str, name: str, keys: tuple[str, ...]) -> Finding:
    found = _get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    subject, remedy = f"Secret {name}", "Make it as docs/kubernetes.md, Secrets, says"
    if found is None:
        return _wrong(subject, f"it is not in the namespace {namespace}", remedy)
    missing = [key for key in keys if key not in found.get("data", {})]
    return _wrong(subject, f"it has no {', '.join(missing)}", remedy) if missing else _fine(subject, "it is there")


def _settings(namespace: str) -> Finding:
    found = _get(f"/api/v1/namespaces/{namespace}/configmaps/labram-environment")
    subject, uri = "ConfigMap labram-environment", (found or {}).get("data", {}).get("MLFLOW_TRACKING_URI")
    if not uri:
        return _wrong(subject, "it does not name MLflow's server", "kubectl apply -k k8s/overlays/OVERLAY")
    return _fine(subject, f"MLflow is {uri}")


def _volume(namespace: str) -> Finding:
    subject = "volume labram-workspace"
    found = _get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/labram-workspace")
    if found is None:
        return _wrong(subject, "there is no such claim", "kubectl apply -k k8s/overlays/OVERLAY")
    spec, phase = found["spec"], found.get("status", {}).get("phase", "")
    chosen = spec.get("storageClassName", "")
    kind = _get(f"/apis/storage.k8s.io/v1/storageclasses/{chosen}") if chosen else None
    if phase != "Bound" and kind is None:
        remedy = "Name one of `kubectl get storageclass` in the overlay, and delete the claim: it cannot be changed"
        return _wrong(subject, f"it waits for a storage class {chosen or 'by default'}, and there is none", remedy)
    if "ReadWriteMany" not in spec["accessModes"] and len((_get("/api/v1/nodes") or {})["items"]) > 1:
        remedy = "Use a storage class with ReadWriteMany: NFS, CephFS, Filestore, EFS"
        return _wrong(subject, "only one node at a time can mount it, and there are several", remedy)
    if phase != "Bound" and (kind or {}).get("volumeBindingMode") != "WaitForFirstConsumer":
        remedy = f"Read why: kubectl -n {namespace} describe pvc labram-workspace"
        return _wrong(subject, f"the storage class {chosen} has given no volume ({phase})", remedy)
    return _fine(subject, f"{phase}, {', '.join(spec['accessModes'])}")


def _server(namespace: str) -> Finding:
    found = _get(f"/apis/apps/v1/namespaces/{namespace}/deployments/mlflow")
    if found is None:
        return _wrong("MLflow", "it is not installed", "kubectl apply -k k8s/overlays/OVERLAY")
    ready = found.get("status", {}).get("availableReplicas", 0)
    if not ready:
        remedy = f"Read why: kubectl -n {namespace} describe pods -l app=mlflow"
        return _wrong("MLflow", "none of its pods is ready", remedy)
    return _fine("MLflow", f"{ready} pods are ready")


def _pool(gpus: int) -> Finding:
    subject = "GPU pool"
    nodes = (_get(f"/api/v1/nodes?labelSelector={POOL}") or {}).get("items", [])
    if not nodes:
        remedy = "Make the pool (k8s/pools); one that grows from nothing is right as it is"
        return Finding(subject, "doubtful", f"no node has the label {POOL}", remedy)
    most = max(int(node["status"]["allocatable"].get("nvidia.com/gpu", 0)) for node in nodes)
    if most < gpus:
        remedy = "Ask for fewer (parameter gpus), use larger machines, or install NVIDIA's device plug-in"
        return _wrong(subject, f"a task wants {gpus} GPUs of one node; the largest of {len(nodes)} has {most}", remedy)
    return _fine(subject, f"{len(nodes)} nodes, up to {most} GPUs each")
