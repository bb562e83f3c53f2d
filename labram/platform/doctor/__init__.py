"""Checks before a run: of this machine, of a cluster through kubectl, and from the first pod of a run."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from labram.errors import PlatformError
from labram.platform.doctor import capacity, controller, image_registry, kubernetes, services
from labram.platform.doctor.capacity import Requests
from labram.platform.doctor.finding import Finding, failed, require, warned
from labram.platform.doctor.kubernetes import Pool, attempt
from labram.platform.doctor.registry import check_registry
from labram.platform.kfp_client import KfpClient, own_namespace
from labram.platform.workspace import STORE_VARIABLE
from labram.training.distributed import launchers, train_job

__all__ = ["Finding", "Pool", "check_cluster", "check_machine", "check_pod", "check_registry", "require"]

SECRETS = {
    "labram-database": ("password",),
    "labram-mlflow-server": ("backend-store-uri", "flask-secret-key", "admin-password", "basic_auth.ini"),
    "labram-mlflow-user": ("username", "password"),
}
"""Required Secrets and their keys. In `labram-storage` the object-store keys are optional, since pods may have a cloud
role; `subject-key` is required if the store is a bucket."""
STORAGE, STORAGE_KEYS = "labram-storage", ("access-key-id", "secret-access-key")
CLAIM, VOLUME_JOB = "labram-workspace", "labram-volume"
ENDPOINT = "KF_PIPELINES_ENDPOINT"
TRAIN_JOB_SIZE = {"cpu": ("4", "16"), "memory": ("24Gi", "64Gi")}
"""Request and limit of a pod in the runtime of `k8s/components/training`."""
TRAIN_JOB_REMEDY = "Change resources in LABRAM_TRAIN_JOB, use larger machines, or raise the quota"


def check_machine(workspace: Path) -> Iterator[Finding]:
    """Check the workspace, and the servers that environment variables name."""
    yield services.workspace(workspace)
    yield from _configured_servers(os.environ)


def check_pod(pool: Pool, claim: str, requests: Requests) -> Iterator[Finding]:
    """Check what the tasks of a run need, from its first pod. Outside a cluster only the servers are checked.

    The checks run at once: on a network that drops packets, each of them waits for its own time-out.

    Args:
        pool: Node pool of the training tasks.
        claim: Volume claim of the tasks.
        requests: What each step requests.
    """
    if not kubernetes.in_pod():
        yield from _configured_servers(os.environ)
        return
    namespace = (kubernetes.ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
    checks: list[Callable[[], Iterable[Finding]]] = [
        partial(_configured_servers, os.environ),
        partial(_stores_files, os.environ),
        lambda: [kubernetes.settings(os.environ)],
        partial(_endpoint, os.environ),
        lambda: [attempt(f"volume {claim}", kubernetes.volume, namespace, claim)],
        *_sizes(requests, pool, namespace, os.environ),
        partial(_trainings, os.environ, replace(pool, gpus=capacity.most_gpus(requests, pool)), namespace),
    ]
    with ThreadPoolExecutor(len(checks)) as threads:
        for findings in threads.map(lambda check: list(check()), checks):
            yield from findings


def _stores_files(environment: Mapping[str, str]) -> Iterator[Finding]:
    if (uri := environment.get("MLFLOW_TRACKING_URI", "")).startswith("http"):
        yield services.mlflow_artifacts(uri)


def _endpoint(environment: Mapping[str, str]) -> Iterator[Finding]:
    if host := environment.get(ENDPOINT, ""):
        client = KfpClient(host, retries=0, timeout=services.SECONDS)
        yield attempt("Kubeflow Pipelines", services.pipelines, client)


def check_cluster(
    pipelines: KfpClient, namespace: str, gpus: int, requests: Requests, image: str = ""
) -> Iterator[Finding]:
    """Check a cluster with the permissions of the local kubectl.

    Args:
        pipelines: Client of Kubeflow Pipelines.
        namespace: Namespace of the manifests.
        gpus: GPUs that a training task requests, unless its size has a number; the pool is checked if a step has GPUs.
        requests: What each step requests.
        image: Image of the tasks; "" skips its check.
    """
    if image:
        yield image_registry.image(image)
    yield from _pipelines(pipelines, namespace)
    try:
        kubernetes.get("/version")
        config_map = kubernetes.get(f"/api/v1/namespaces/{namespace}/configmaps/{kubernetes.ENVIRONMENT}") or {}
    except PlatformError as error:
        yield failed("Kubernetes", error.problem, error.remedy)
        return
    environment: dict[str, str] = config_map.get("data", {})
    yield from _secrets(namespace, environment)
    yield kubernetes.settings(environment)
    yield attempt(f"volume {CLAIM}", kubernetes.volume, namespace, CLAIM)
    yield attempt(f"Job {VOLUME_JOB}", kubernetes.prepared, namespace, VOLUME_JOB)
    yield attempt("MLflow", kubernetes.server, namespace)
    pool = Pool(gpus) if capacity.most_gpus(requests, Pool(gpus)) else Pool(0, node_selector={}, tolerations=())
    for check in _sizes(requests, pool, namespace, environment):
        yield from check()
    yield attempt("retries", controller.retries, own_namespace())
    yield from _trainings(environment, replace(pool, gpus=capacity.most_gpus(requests, pool)), namespace)


def _pipelines(pipelines: KfpClient, namespace: str) -> Iterator[Finding]:
    """Check version and mode of Kubeflow Pipelines, and that this account may read runs of the namespace."""
    try:
        yield services.pipelines(pipelines, _server_image())
    except PlatformError as error:
        yield failed("Kubeflow Pipelines", f"{pipelines.host}: {error.problem}", error.remedy)
        return
    yield services.access(pipelines, namespace)


def _secrets(namespace: str, environment: Mapping[str, str]) -> Iterator[Finding]:
    for name, keys in SECRETS.items():
        yield attempt(f"Secret {name}", kubernetes.secret, namespace, name, keys)
    in_bucket = environment.get(STORE_VARIABLE, "").startswith("s3://")
    required = ("subject-key",) if in_bucket else ()
    with suppress(PlatformError):  # the checks above report that Secrets cannot be read
        if in_bucket or kubernetes.get(f"/api/v1/namespaces/{namespace}/secrets/{STORAGE}") is not None:
            yield kubernetes.secret(namespace, STORAGE, required, together=STORAGE_KEYS)


def _sizes(
    requests: Requests, pool: Pool, namespace: str, environment: Mapping[str, str]
) -> list[Callable[[], Iterable[Finding]]]:
    """Return checks that each step fits on a node, into the quotas and the limit ranges."""
    autoscaled = environment.get(kubernetes.AUTOSCALED) == "1"
    checks: dict[str, Callable[[], Iterable[Finding]]] = {
        "sizes": lambda: [capacity.nodes(requests, pool, autoscaled=autoscaled)],
        "nodes": capacity.architectures,
        "ResourceQuota": partial(capacity.quotas, requests, pool, namespace),
        "LimitRange": partial(capacity.limit_ranges, requests, namespace),
    }
    return [partial(_attempt_all, subject, check) for subject, check in checks.items()]


def _attempt_all(subject: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Run a check with any number of findings; return a warning if the API does not allow it."""
    try:
        return list(check())
    except PlatformError as error:
        return [warned(subject, f"could not be checked: {error.problem}", error.remedy)]


def _server_image() -> str:
    """Return the image of KFP's API server, whose tag is its version; "" if it cannot be seen."""
    path = f"/apis/apps/v1/namespaces/{own_namespace()}/deployments/ml-pipeline"
    with suppress(PlatformError):
        for container in kubernetes.containers(kubernetes.get(path)):
            if "api-server" in container["name"]:
                return str(container["image"])
    return ""


def _configured_servers(environment: Mapping[str, str]) -> Iterator[Finding]:
    uri, store = environment.get("MLFLOW_TRACKING_URI", ""), environment.get(STORE_VARIABLE, "")
    if uri.startswith("http"):
        yield services.mlflow(uri)
    if store.startswith("s3://"):
        yield services.store(store)


def _trainings(environment: Mapping[str, str], pool: Pool, namespace: str) -> Iterator[Finding]:
    """Check what training tasks need: a node with GPUs, or several nodes and Kubeflow Trainer."""
    nodes, autoscaled = environment.get(launchers.NODES, ""), environment.get(kubernetes.AUTOSCALED) == "1"
    if nodes.isdecimal() and int(nodes) > 1:
        try:
            settings = train_job.TrainJobSettings.from_environment(environment, int(nodes))
        except PlatformError as error:
            yield failed(f"ConfigMap {kubernetes.ENVIRONMENT}, {error.field}", error.problem, error.remedy)
            return
        yield attempt("Kubeflow Trainer", kubernetes.trainer, settings.runtime)
        gpus = int(settings.resources.get(pool.accelerator, 0))
        pool = Pool(gpus, int(nodes), pool.accelerator, settings.node_selector, settings.tolerations)
        yield from _train_job(settings.resources, pool, namespace, autoscaled=autoscaled)
    if pool.gpus or pool.node_selector:
        yield attempt("GPU pool", partial(kubernetes.pool, pool, autoscaled=autoscaled))


def _train_job(resources: Mapping[str, str], pool: Pool, namespace: str, *, autoscaled: bool) -> Iterator[Finding]:
    """Check that a node can hold a pod of a TrainJob, and the quotas all of them."""
    one = {"pool": "gpu", "gpus": str(pool.gpus)}
    for resource, (request, limit) in TRAIN_JOB_SIZE.items():
        one |= {resource: resources.get(resource, request), f"limits.{resource}": resources.get(resource, limit)}
    finding = attempt("TrainJob", partial(capacity.nodes, {"TrainJob": one}, pool, autoscaled=autoscaled))
    yield replace(finding, subject="TrainJob", remedy=finding.remedy and TRAIN_JOB_REMEDY)
    whole = {f"a TrainJob on {pool.nodes} nodes": capacity.multiply(one, pool.nodes)}
    for finding in _attempt_all("ResourceQuota", partial(capacity.quotas, whole, pool, namespace)):
        if finding.state == "error":
            yield replace(finding, remedy=TRAIN_JOB_REMEDY)
