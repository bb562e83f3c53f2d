"""What the Kubernetes API says of what runs need: volume, pool, Secrets, settings, servers.

A pod asks with its service account, a person with kubectl.
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
"""Where Kubernetes puts a pod's token, the API's certificate and the name of the namespace."""
ENVIRONMENT = "labram-environment"
SECONDS = 10
APPLY = "kubectl apply -k k8s/overlays/OVERLAY"


@dataclass(frozen=True)
class Pool:
    """What one training asks of the nodes.

    Attributes:
        gpus: Of each node; with 0 no pool is checked.
        nodes: How many it takes at once.
        accelerator: The resource's name.
        node_selector: Labels of the nodes.
        tolerations: As Kubernetes writes them.
    """

    gpus: int
    nodes: int = 1
    accelerator: str = "nvidia.com/gpu"
    node_selector: Mapping[str, str] = field(default_factory=lambda: {"labram.dev/pool": "gpu"})
    tolerations: Sequence[Mapping[str, Any]] = ({"key": "nvidia.com/gpu", "operator": "Exists"},)


def in_pod() -> bool:
    """Whether this process has a pod's service account."""
    return (ACCOUNT / "token").is_file()


def get(path: str) -> dict[str, Any] | None:
    """A document of the Kubernetes API, or None if it is not there.

    Raises:
        PlatformError: If the API cannot be reached, or refuses.
    """
    return _as_pod(path) if in_pod() else _by_kubectl(path)


def _as_pod(path: str) -> dict[str, Any] | None:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    address = f"https://[{host}]:{port}{path}" if ":" in host else f"https://{host}:{port}{path}"
    token = (ACCOUNT / "token").read_text().strip()
    try:
        answer = requests.get(
            address, headers={"Authorization": f"Bearer {token}"}, verify=str(ACCOUNT / "ca.crt"), timeout=SECONDS
        )
    except requests.RequestException as error:
        raise PlatformError(
            f"the Kubernetes API does not answer ({type(error).__name__})",
            remedy="Let pods of runs out to it in k8s/base/network.yaml",
        ) from error
    if answer.status_code == requests.codes.not_found:
        return None
    if not answer.ok:
        raise PlatformError(
            f"this pod's account may not read {path.partition('?')[0]} ({answer.status_code})",
            remedy=f"Give it the roles of k8s/base/accounts.yaml: {APPLY}",
        )
    return dict(answer.json())


def _by_kubectl(path: str) -> dict[str, Any] | None:
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


def checked(subject: str, check: Callable[..., Finding], *arguments: Any) -> Finding:
    """What a check finds, or the doubt that is left where the API does not let it look."""
    try:
        return check(*arguments)
    except PlatformError as error:
        return warned(subject, f"it could not be checked: {error.problem}", error.remedy)


def secret(namespace: str, name: str, keys: tuple[str, ...]) -> Finding:
    """Whether a Secret has all its keys; the values are not checked."""
    found = get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    subject, remedy = f"Secret {name}", "Make it as docs/kubernetes.md, Secrets, says"
    if found is None:
        return failed(subject, f"it is not in the namespace {namespace}", remedy)
    missing = [key for key in keys if key not in found.get("data", {})]
    return failed(subject, f"it has no {', '.join(missing)}", remedy) if missing else passed(subject, "it is there")


def settings(environment: Mapping[str, str]) -> Finding:
    """Whether the environment of tasks names MLflow's server: without it each run would have an MLflow of its own."""
    subject, uri = f"ConfigMap {ENVIRONMENT}", environment.get("MLFLOW_TRACKING_URI")
    return passed(subject, f"MLflow is {uri}") if uri else failed(subject, "it does not name MLflow's server", APPLY)


def server(namespace: str) -> Finding:
    """Whether a pod of MLflow is ready."""
    found = get(f"/apis/apps/v1/namespaces/{namespace}/deployments/mlflow")
    if found is None:
        return failed("MLflow", "it is not installed", APPLY)
    ready = found.get("status", {}).get("availableReplicas", 0)
    if not ready:
        remedy = f"Read why: kubectl -n {namespace} describe pods -l app=mlflow"
        return failed("MLflow", "none of its pods is ready", remedy)
    return passed("MLflow", f"{ready} pods are ready")


def volume(namespace: str, claim: str) -> Finding:
    """Whether a claim has a volume, or will as soon as a pod wants it; and whether enough nodes can mount it."""
    subject = f"volume {claim}"
    found = get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}")
    if found is None:
        return failed(subject, "there is no such claim", APPLY)
    spec, phase = found["spec"], found.get("status", {}).get("phase", "")
    chosen = spec.get("storageClassName", "")
    kind = get(f"/apis/storage.k8s.io/v1/storageclasses/{chosen}") if chosen and phase != "Bound" else None
    if phase != "Bound" and kind is None:
        remedy = "Name one of `kubectl get storageclass` in the overlay, and delete the claim: it cannot be changed"
        return failed(subject, f"it waits for a storage class {chosen or 'by default'}, and there is none", remedy)
    if "ReadWriteMany" not in spec["accessModes"] and len((get("/api/v1/nodes") or {}).get("items", [])) > 1:
        remedy = "Use a storage class with ReadWriteMany: NFS, CephFS, Filestore, EFS"
        return failed(subject, "only one node at a time can mount it, and there are several", remedy)
    if phase != "Bound" and (kind or {}).get("volumeBindingMode") != "WaitForFirstConsumer":
        remedy = f"Read why: kubectl -n {namespace} describe pvc {claim}"
        return failed(subject, f"the storage class {chosen} has given no volume ({phase})", remedy)
    return passed(subject, f"{phase}, {', '.join(spec['accessModes'])}")


def pool(wanted: Pool) -> Finding:
    """Whether there are nodes for a training: enough GPUs on one, and no taint that it does not tolerate."""
    subject, labels = "GPU pool", ",".join(f"{key}={value}" for key, value in wanted.node_selector.items())
    nodes = (get(f"/api/v1/nodes?labelSelector={labels}" if labels else "/api/v1/nodes") or {}).get("items", [])
    grows = "Make the pool (k8s/pools); one that grows by itself is right as it is"
    if not nodes:
        return warned(subject, f"no node has the label {labels}", grows)
    large = [node for node in nodes if _gpus(node, wanted.accelerator) >= wanted.gpus]
    if not large:
        remedy = "Ask for fewer (parameter gpus), use larger machines, or install NVIDIA's device plug-in"
        most = max(_gpus(node, wanted.accelerator) for node in nodes)
        detail = f"a task wants {wanted.gpus} GPUs of one node; the largest of {len(nodes)} has {most}"
        return failed(subject, detail, remedy)
    taints = [_untolerated(node, wanted.tolerations) for node in large]
    if all(taints):
        remedy = "Add it to the parameter tolerations, as k8s/pools/README.md shows"
        return failed(subject, f"its nodes have the taint {taints[0][0]}, which trainings do not tolerate", remedy)
    if (usable := taints.count([])) < wanted.nodes:
        return warned(subject, f"a training wants {wanted.nodes} nodes; there are {usable}", grows)
    return passed(subject, f"{usable} of {len(nodes)} nodes have {wanted.gpus} GPUs or more")


def _gpus(node: dict[str, Any], accelerator: str) -> int:
    return int(node["status"]["allocatable"].get(accelerator, 0))


def _untolerated(node: dict[str, Any], tolerations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Taints that keep a pod off a node; one that is being drained has one too."""
    return [
        f"{taint['key']}={taint.get('value', '')}:{taint['effect']}"
        for taint in node.get("spec", {}).get("taints", [])
        if taint["effect"] != "PreferNoSchedule" and not any(_tolerates(one, taint) for one in tolerations)
    ]


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Kubernetes' rule: an empty key with ``Exists`` tolerates every key, an empty effect every effect."""
    if toleration.get("effect") not in {None, "", taint["effect"]}:
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in {None, "", taint["key"]}
    return (toleration.get("key"), toleration.get("value", "")) == (taint["key"], taint.get("value", ""))


def trainer(runtime: str) -> Finding:
    """Whether Kubeflow Trainer is there, with what trainings over several nodes are made from."""
    if get(f"/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes/{runtime}") is None:
        remedy = "Install Kubeflow Trainer 2.3 or later, and apply an overlay with k8s/components/training"
        return failed("Kubeflow Trainer", f"there is no ClusterTrainingRuntime {runtime}", remedy)
    return passed("Kubeflow Trainer", f"ClusterTrainingRuntime {runtime} is there")
