"""What is missing, said before an hour is lost: on this machine, in a run's first pod, on a cluster from outside."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from labram.errors import PlatformError
from labram.platform.doctor import kubernetes, services
from labram.platform.doctor.finding import Finding, failed, require
from labram.platform.doctor.kubernetes import Pool, checked
from labram.platform.kfp_client import KfpClient
from labram.platform.workspace import STORE_VARIABLE
from labram.training.distributed import launchers, train_job

__all__ = ["Finding", "Pool", "check_cluster", "check_machine", "check_pod", "require"]

SECRETS = {
    "labram-database": ("password",),
    "labram-mlflow-server": ("backend-store-uri", "flask-secret-key", "admin-password", "basic_auth.ini"),
    "labram-mlflow-user": ("username", "password"),
}
"""Secrets that the manifests cannot do without, and their keys. Of `labram-storage` the keys of the object store are
optional, since a pod may have a role; the key of subjects is not, where the store is a bucket."""
CLAIM = "labram-workspace"
ENDPOINT = "KF_PIPELINES_ENDPOINT"


def check_machine(workspace: Path) -> Iterator[Finding]:
    """Check what a command finds around it: the workspace, and the servers that the environment names."""
    yield services.workspace(workspace)
    yield from _named(os.environ)


def check_pod(pool: Pool, claim: str) -> Iterator[Finding]:
    """Check what the tasks of a run will need, from its first pod; outside a cluster only the servers.

    Args:
        pool: For its trainings.
        claim: The volume of its tasks.
    """
    yield from _named(os.environ)
    if not kubernetes.in_pod():
        return
    yield kubernetes.settings(os.environ)
    if ENDPOINT in os.environ:
        yield checked("Kubeflow Pipelines", services.pipelines, KfpClient(os.environ[ENDPOINT], patience=0))
    namespace = (kubernetes.ACCOUNT / "namespace").read_text().strip()
    yield checked(f"volume {claim}", kubernetes.volume, namespace, claim)
    yield from _trainings(os.environ, pool)


def check_cluster(pipelines: KfpClient, namespace: str, gpus: int) -> Iterator[Finding]:
    """Check a cluster with the rights of kubectl here.

    Args:
        pipelines: Kubeflow Pipelines.
        namespace: Of the manifests.
        gpus: That one training task asks for; with 0 the pool is not checked.
    """
    try:
        yield services.pipelines(pipelines)
    except PlatformError as error:
        yield failed("Kubeflow Pipelines", f"{pipelines.host}: {error.problem}", error.remedy)
    try:
        kubernetes.get("/version")
        found = kubernetes.get(f"/api/v1/namespaces/{namespace}/configmaps/{kubernetes.ENVIRONMENT}") or {}
    except PlatformError as error:
        yield failed("Kubernetes", error.problem, error.remedy)
        return
    for name, keys in SECRETS.items():
        yield checked(f"Secret {name}", kubernetes.secret, namespace, name, keys)
    environment: dict[str, str] = found.get("data", {})
    if environment.get(STORE_VARIABLE, "").startswith("s3://"):
        yield checked("Secret labram-storage", kubernetes.secret, namespace, "labram-storage", ("subject-key",))
    yield kubernetes.settings(environment)
    yield checked(f"volume {CLAIM}", kubernetes.volume, namespace, CLAIM)
    yield checked("MLflow", kubernetes.server, namespace)
    yield from _trainings(environment, Pool(gpus))


def _named(environment: Mapping[str, str]) -> Iterator[Finding]:
    uri, store = environment.get("MLFLOW_TRACKING_URI", ""), environment.get(STORE_VARIABLE, "")
    if uri.startswith("http"):
        yield services.mlflow(uri)
    if store.startswith("s3://"):
        yield services.store(store)


def _trainings(environment: Mapping[str, str], pool: Pool) -> Iterator[Finding]:
    """What trainings need: a node with GPUs, or several nodes and Kubeflow Trainer."""
    nodes = environment.get(launchers.NODES, "")
    if nodes.isdecimal() and int(nodes) > 1:
        try:
            settings = train_job.TrainJobSettings.from_environment(environment, int(nodes))
        except PlatformError as error:
            yield failed(f"ConfigMap {kubernetes.ENVIRONMENT}, {error.field}", error.problem, error.remedy)
            return
        yield checked("Kubeflow Trainer", kubernetes.trainer, settings.runtime)
        gpus = int(settings.resources.get(pool.accelerator, 0))
        pool = Pool(gpus, int(nodes), pool.accelerator, settings.node_selector, settings.tolerations)
    if pool.gpus:
        yield checked("GPU pool", kubernetes.pool, pool)
