"""Where a task runs and what it may use there: machine, time, storage, secrets. On a laptop all of it is ignored.

What differs from cluster to cluster is a parameter of the pipeline (`CLUSTER` has the defaults); what differs from step
to step stands in `NEEDS`.
"""

from dataclasses import dataclass, replace
from typing import Any

from kfp import kubernetes

VOLUME_PATH = "/workspace"
"""Where tasks see the volume that they share."""

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
"""Parameters that every pipeline has for its cluster: GPUs of a training task, the pool that they are in, claim,
ConfigMap and Secrets."""

ENVIRONMENT = (
    *("MLFLOW_TRACKING_URI", "LABRAM_STORE", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"),
    *("LABRAM_NODES", "LABRAM_PROCESSES", "LABRAM_TRAIN_JOB", "LABRAM_COMPILE"),
    *("LABRAM_LOG", "LABRAM_MLFLOW_PAGE", "KF_PIPELINES_ENDPOINT"),
)
"""Variables that tasks have from the ConfigMap `environment`, those of them that it holds."""
IDENTITY = {"LABRAM_RUN": "metadata.labels['pipeline/runid']", "LABRAM_TASK": "metadata.name"}
"""Variables with the ids of the run and of the task, and where a pod has them."""
MLFLOW_SECRET = {"username": "MLFLOW_TRACKING_USERNAME", "password": "MLFLOW_TRACKING_PASSWORD"}
STORAGE_SECRET = {
    "access-key-id": "AWS_ACCESS_KEY_ID",
    "secret-access-key": "AWS_SECRET_ACCESS_KEY",
    "subject-key": "LABRAM_SUBJECT_KEY",
}
STAY = (("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"), ("karpenter.sh/do-not-disrupt", "true"))
"""Annotations that keep autoscalers from moving a training to tidy up."""
BACK_OFF = {"backoff_duration": "60s", "backoff_factor": 2.0, "backoff_max_duration": "1800s"}


@dataclass(frozen=True)
class Needs:
    """What one step needs.

    Args:
        cpu: Cores, requested and at most.
        memory: Bytes as Kubernetes writes them, requested and at most.
        hours: After which it is taken to be stuck.
        retries: After a failure that was not its own, such as a node that was taken away.
        trains: It uses GPUs, and runs in their pool.
        acts: It looks at or changes something outside the pipeline, so it is never taken from the cache.
        stores: It uses the volume, so that its pod waits for it.
    """

    cpu: tuple[str, str]
    memory: tuple[str, str]
    hours: int
    retries: int = 2
    trains: bool = False
    acts: bool = False
    stores: bool = True


_SMALL = Needs(cpu=("500m", "2"), memory=("2Gi", "4Gi"), hours=1, acts=True)
_SMALL_WORK = replace(_SMALL, acts=False)
NEEDS = {
    "preflight": Needs(cpu=("250m", "1"), memory=("512Mi", "2Gi"), hours=1, acts=True, stores=False),
    "plan-run": _SMALL,
    "load-backbone": _SMALL_WORK,
    "ingest": Needs(cpu=("4", "8"), memory=("8Gi", "16Gi"), hours=24),
    "quality": Needs(cpu=("1", "4"), memory=("8Gi", "16Gi"), hours=4),
    "tokenizer": Needs(cpu=("4", "16"), memory=("24Gi", "64Gi"), hours=72, retries=8, trains=True),
    "pretrain": Needs(cpu=("4", "16"), memory=("24Gi", "64Gi"), hours=168, retries=8, trains=True),
    "ablation-run": _SMALL_WORK,
    "finetune": Needs(cpu=("4", "16"), memory=("16Gi", "48Gi"), hours=24, retries=8, trains=True),
    "evaluate": Needs(cpu=("4", "8"), memory=("16Gi", "32Gi"), hours=6),
    "register": _SMALL,
    "gate": Needs(cpu=("2", "4"), memory=("8Gi", "16Gi"), hours=2, acts=True),
    "promote": _SMALL,
    "report": _SMALL,
    "report-gate-failure": _SMALL,
    "compare": _SMALL,
}


@dataclass(frozen=True)
class Placement:
    """Places tasks; made of the pipeline's own parameters, in the order of `CLUSTER`."""

    gpus: Any
    accelerator: Any
    node_selector: Any
    tolerations: Any
    volume: Any
    environment: Any
    mlflow_secret: Any
    storage_secret: Any

    def __call__(self, task: Any) -> Any:
        """Say where `task` runs and what it may use; gives the task. Its component's name is one of `NEEDS`."""
        needs = NEEDS[task.component_spec.name]
        task.set_cpu_request(needs.cpu[0]).set_cpu_limit(needs.cpu[1])
        task.set_memory_request(needs.memory[0]).set_memory_limit(needs.memory[1])
        task.set_retry(needs.retries, **BACK_OFF).set_caching_options(not needs.acts)
        kubernetes.set_timeout(task, needs.hours * 3600)
        kubernetes.set_security_context(task, run_as_non_root=True)
        if needs.stores:
            kubernetes.mount_pvc(task, pvc_name=self.volume, mount_path=VOLUME_PATH)
        for variable, path in IDENTITY.items():
            kubernetes.use_field_path_as_env(task, variable, path)
        same_names = {name: name for name in ENVIRONMENT}
        kubernetes.use_config_map_as_env(task, self.environment, same_names, optional=True)
        # a pod whose Secret is missing waits for ever and says nothing; preflight asks for what is in it
        kubernetes.use_secret_as_env(task, self.mlflow_secret, MLFLOW_SECRET, optional=True)
        kubernetes.use_secret_as_env(task, self.storage_secret, STORAGE_SECRET, optional=True)
        if needs.trains:
            self._use_pool(task)
        return task

    def _use_pool(self, task: Any) -> None:
        # KFP 2.17 forgets to hand parameters of resources into conditions and loops; registered, they arrive
        task.register_pipeline_channels([self.gpus, self.accelerator])
        task.set_accelerator_type(self.accelerator).set_accelerator_limit(self.gpus)
        kubernetes.add_node_selector_json(task, self.node_selector)
        kubernetes.add_toleration_json(task, self.tolerations)
        for autoscaler in STAY:
            kubernetes.add_pod_annotation(task, *autoscaler)
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit="8Gi")  # noqa: S108
