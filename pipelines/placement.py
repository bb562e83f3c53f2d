"""Resources, storage, Secrets and node pool of a task on a cluster. KFP's local runner ignores all of it.

What differs between clusters is a parameter of the pipeline (`CLUSTER` has the defaults); what differs between steps is
in `labram.steps.table.STEPS`. Sizes, and how many tasks of a loop run at once, are fixed when a pipeline is compiled.
"""

import math
import os
from dataclasses import dataclass
from typing import Any

from kfp import kubernetes

import pipelines.kfp_shortcuts  # noqa: F401  before the first resource is set
from components import IMAGE
from labram.cores import WORKERS_VARIABLE, positive
from labram.platform.workspace import STORE_VARIABLE
from labram.steps.sizes import VARIABLE, Sizes, load
from labram.steps.table import STEPS
from labram.tracking import lineage

PARALLELISM_VARIABLE = "LABRAM_PARALLELISM"
"""Environment variable of the compiler: how many tasks of a loop run at once (shards, tasks, ablation runs)."""
DEFAULT_PARALLELISM = 2

VOLUME_PATH = "/workspace"
"""Mount path of the shared volume."""

CLUSTER: dict[str, object] = {
    "gpus": "0",
    "accelerator": "nvidia.com/gpu",
    "node_selector": {},
    "tolerations": [],
    "volume": "labram-workspace",
    "environment": "labram-environment",
    "mlflow_secret": "labram-mlflow-user",
    "storage_secret": "labram-storage",
}
"""Pipeline parameters that describe the cluster: GPUs per training task, GPU pool, volume claim, ConfigMap, Secrets."""

ENVIRONMENT = (
    *("MLFLOW_TRACKING_URI", "LABRAM_STORE", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"),
    *("LABRAM_NODES", "LABRAM_PROCESSES", "LABRAM_TRAIN_JOB", "LABRAM_COMPILE", WORKERS_VARIABLE),
    *("LABRAM_LOG", "LABRAM_MLFLOW_PAGE", "LABRAM_AUTOSCALED", "LABRAM_ACTOR", "KF_PIPELINES_ENDPOINT"),
)
"""Environment variables that tasks read from the ConfigMap `environment`, if it has them."""
IDENTITY = {"LABRAM_RUN": "metadata.labels['pipeline/runid']", "LABRAM_TASK": "metadata.name"}
"""Environment variables with the ids of run and task, and the pod fields that hold them."""
MLFLOW_SECRET = {"username": "MLFLOW_TRACKING_USERNAME", "password": "MLFLOW_TRACKING_PASSWORD"}
STORAGE_SECRET = {
    "access-key-id": "AWS_ACCESS_KEY_ID",
    "secret-access-key": "AWS_SECRET_ACCESS_KEY",
    "subject-key": "LABRAM_SUBJECT_KEY",
}
KEEP_RUNNING = (("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"), ("karpenter.sh/do-not-disrupt", "true"))
"""Annotations that keep autoscalers from evicting a training."""
FIRST_DELAY, DELAY_FACTOR = 60, 1.5
"""Seconds before the first retry of a task, and the growth of the delay with each retry."""


def parallelism() -> int:
    """Return how many tasks of a loop run at once: `LABRAM_PARALLELISM`, else that of the sizes, else 2.

    KFP fixes it at compile time, so that it cannot be a parameter of the pipeline. No task's cache key depends on it.

    Raises:
        PlatformError: If the variable is not a positive whole number.
    """
    return positive(PARALLELISM_VARIABLE) or sizes().parallelism or DEFAULT_PARALLELISM


def sizes() -> Sizes:
    """Return the sizes of all steps: `LABRAM_SIZES`, by default those of the table of steps.

    Raises:
        PlatformError: If the variable names no profile and no valid file.
    """
    return load(os.environ.get(VARIABLE, ""))


def retry_window(timeout: int, retries: int, first_delay: float, factor: float) -> int:
    """Return the seconds in which a task's attempts must fit, for KFP's ``backoff_max_duration``.

    Argo counts them from the start of the first attempt, denies a retry after them, and ends a retried pod with them.
    So they must hold all attempts at their full length, and all delays.
    """
    delays = sum(first_delay * factor**retry for retry in range(retries))
    return timeout * (retries + 1) + math.ceil(delays)


@dataclass(frozen=True)
class Placement:
    """Sets resources and policies of tasks from the pipeline's parameters, in the order of `CLUSTER`.

    With `fresh`, tasks reuse neither outputs of earlier tasks nor patches of the shared store.
    """

    gpus: Any
    accelerator: Any
    node_selector: Any
    tolerations: Any
    volume: Any
    environment: Any
    mlflow_secret: Any
    storage_secret: Any
    fresh: bool = False

    def __call__(self, task: Any) -> Any:
        """Set resources, retries, caching, timeout, volume and environment of a task; return the task."""
        step = STEPS[task.component_spec.name.replace("-", "_")]
        profile = sizes()
        needs, size = step.resources, profile.steps[step.name]
        task.set_cpu_request(size.cpu[0]).set_cpu_limit(size.cpu[1])
        task.set_memory_request(size.memory[0]).set_memory_limit(size.memory[1])
        window = retry_window(needs.hours * 3600, needs.retries, FIRST_DELAY, DELAY_FACTOR)
        task.set_retry(needs.retries, f"{FIRST_DELAY}s", DELAY_FACTOR, f"{window}s")
        task.set_caching_options(needs.cached and not self.fresh)
        kubernetes.set_timeout(task, needs.hours * 3600)
        kubernetes.set_security_context(task, run_as_non_root=True)
        if needs.volume:
            kubernetes.mount_pvc(task, pvc_name=self.volume, mount_path=VOLUME_PATH)
        task.set_env_variable(lineage.IMAGE_VARIABLE, IMAGE)
        for variable, path in IDENTITY.items():
            kubernetes.use_field_path_as_env(task, variable, path)
        same_names = {name: name for name in ENVIRONMENT if name != STORE_VARIABLE or not self.fresh}
        kubernetes.use_config_map_as_env(task, self.environment, same_names, optional=True)
        # a pod waits forever for a missing Secret; `preflight` reports what is missing
        kubernetes.use_secret_as_env(task, self.mlflow_secret, MLFLOW_SECRET, optional=True)
        kubernetes.use_secret_as_env(task, self.storage_secret, STORAGE_SECRET, optional=True)
        if needs.gpus:
            _keep_running(task)
        if profile.in_pool(step):
            self._use_pool(task, size.gpus)
        return task

    def _use_pool(self, task: Any, gpus: int | None) -> None:
        """Place a task in the GPU pool, with a number of GPUs or that of the pipeline's parameter."""
        # KFP 2.17 does not pass parameters of resources into conditions and loops unless they are registered
        task.register_pipeline_channels([self.accelerator, *([self.gpus] if gpus is None else [])])
        task.set_accelerator_type(self.accelerator).set_accelerator_limit(self.gpus if gpus is None else gpus)
        kubernetes.add_node_selector_json(task, self.node_selector)
        kubernetes.add_toleration_json(task, self.tolerations)


def _keep_running(task: Any) -> None:
    """Keep autoscalers from evicting a training, and give its processes shared memory."""
    for autoscaler in KEEP_RUNNING:
        kubernetes.add_pod_annotation(task, *autoscaler)
    kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit="8Gi")  # noqa: S108
