"""Launcher for several nodes of a cluster: a `TrainJob` of Kubeflow Trainer 2.

The pods mount the same volume as this process, so job file, events and checkpoints are files on that volume. On SIGTERM
the TrainJob is deleted, and its pods save a checkpoint before they stop. If this process is killed, its successor
deletes the remaining TrainJob and resumes from the newest checkpoint.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from labram.errors import LabramError, PlatformError, TrainingError
from labram.events import Monitor
from labram.frozen_model import FrozenModel
from labram.training.distributed.job import (
    EVENTS_FILE,
    JOB_FILE,
    SHUTDOWN_SECONDS,
    WORKER_MODULE,
    EventReceiver,
    Job,
    job_folder,
)
from labram.training.preemption import EXIT_CODE, PreemptionFlag, catch_sigterm

if TYPE_CHECKING:
    from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

log = logging.getLogger(__name__)
SETTINGS_VARIABLE = "LABRAM_TRAIN_JOB"
GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
MANAGER = "labram.dev/launcher"
CONTAINER = REPLICATED_JOB = "node"
"""The runtime's names of its replicated job and of the container in its pods."""
JOB_SET_LABEL = "jobset.sigs.k8s.io/jobset-name"
"""Label of the pods; Trainer names the job set after the TrainJob."""
WORKSPACE_VOLUME, SHARED_MEMORY_VOLUME = "workspace", "shared-memory"
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
POLL_SECONDS = 2.0
DELETE_TIMEOUT_SECONDS = 120
"""Time for the pods of an earlier attempt to save a checkpoint and stop."""
API_OUTAGE_SECONDS = 600
"""Tolerated outage of the API server: running pods do not need it."""
LOG_TAIL_LINES = 30
NOT_FOUND, SERVER_ERROR = 404, 500
FORWARDED_VARIABLES = ("LABRAM_RUN", "LABRAM_LOG", "LABRAM_COMPILE", "LABRAM_DEVICE")
"""Environment variables that are copied to the pods."""


def own_namespace() -> str:
    """Return the namespace of this pod; outside a cluster that of the manifests."""
    return NAMESPACE_FILE.read_text(encoding="utf-8").strip() if NAMESPACE_FILE.is_file() else "labram"


class TrainJobSettings(FrozenModel):
    """Settings of the training pods; the environment variable `LABRAM_TRAIN_JOB` holds them as JSON.

    Attributes:
        image: Container image with labram installed.
        namespace: Namespace of the TrainJob, by default that of this pod, where its volume and its account are.
        runtime: Name of the ClusterTrainingRuntime; it must use Trainer's torch plug-in.
        claim: PersistentVolumeClaim of the workspace; it must support writing from several nodes.
        mount: Mount path of the workspace, in this process and in the pods.
        resources: Requests and limits per node, such as ``{"nvidia.com/gpu": "8", "memory": "256Gi"}``.
        node_selector: The pods' `nodeSelector`.
        tolerations: The pods' `tolerations`.
        environment: The container's `env`, such as the store's credentials from a Secret.
    """

    image: str
    namespace: str = Field(default_factory=own_namespace)
    runtime: str = "labram-torch"
    claim: str = "labram-workspace"
    mount: Path = Path("/workspace")
    resources: dict[str, str] = Field(default_factory=dict)
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, Any], ...] = ()
    environment: tuple[dict[str, Any], ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], nodes: int) -> "TrainJobSettings":
        """Read the settings from environment variables.

        Args:
            environment: Environment variables.
            nodes: Number of nodes, for the error message.

        Raises:
            PlatformError: If `LABRAM_TRAIN_JOB` is missing or invalid.
        """
        try:
            return cls.from_json(environment.get(SETTINGS_VARIABLE, "{}"))
        except ValidationError as error:
            first = error.errors()[0]
            raise PlatformError(
                f"training on {nodes} nodes needs valid TrainJob settings ({first['msg']})",
                field=".".join([SETTINGS_VARIABLE, *map(str, first["loc"])]),
                remedy='Set it to JSON such as {"image": "…", "resources": {"nvidia.com/gpu": "8"}}',
            ) from error


@dataclass(frozen=True)
class TrainJobLauncher:
    """Trains in several processes on each of several nodes. A `labram.training.distributed.launchers.Launcher`.

    Attributes:
        nodes: Number of nodes.
        processes: Processes per node, one per GPU if there are GPUs.
        settings: Settings of the pods.
    """

    nodes: int
    processes: int
    settings: TrainJobSettings

    def launch(self, job: Job, monitor: Monitor) -> dict[str, float]:
        """Run the job, see `labram.training.distributed.launchers.Launcher.launch`."""
        if not job.checkpoints.is_relative_to(self.settings.mount):
            raise PlatformError(
                f"checkpoints must be inside {self.settings.mount}, the volume that all nodes mount",
                file=job.checkpoints,
                field=SETTINGS_VARIABLE,
                remedy="Choose a workspace there, or set `mount` to the volume of the workspace",
            )
        name = f"labram-{job.stage}-{job.digest()}"
        with catch_sigterm() as preemption, job_folder(job) as folder:
            receiver = EventReceiver(folder / EVENTS_FILE, monitor)
            with self._created(name, folder, monitor):
                self._follow(name, receiver, preemption)
            return receiver.final_metrics()

    def manifest(self, name: str, folder: Path) -> "TrainerV1alpha1TrainJob":
        """Return the TrainJob.

        Args:
            name: Name of the TrainJob.
            folder: Folder with the job file, see `labram.training.distributed.job.job_folder`.

        Raises:
            PlatformError: If the settings are not valid Kubernetes fields.
        """
        from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

        manifest = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "TrainJob",
            "metadata": {"name": name, "namespace": self.settings.namespace},
            "spec": {
                "runtimeRef": {"name": self.settings.runtime},
                "runtimePatches": [{"manager": MANAGER, "trainingRuntimeSpec": self._runtime_patch()}],
                "trainer": self._trainer(folder),
            },
        }
        try:
            train_job = TrainerV1alpha1TrainJob.from_dict(manifest)
        except ValidationError as error:
            first = error.errors()[0]
            raise PlatformError(
                f"the TrainJob settings are not valid Kubernetes fields ({first['msg']})",
                field=".".join([SETTINGS_VARIABLE, *map(str, first["loc"])]),
                remedy="Write `tolerations` and `environment` as in a pod manifest",
            ) from error
        assert train_job is not None
        return train_job

    def _runtime_patch(self) -> dict[str, Any]:
        settings = self.settings
        volume_mounts = [
            {"name": WORKSPACE_VOLUME, "mountPath": str(settings.mount)},
            {"name": SHARED_MEMORY_VOLUME, "mountPath": "/dev/shm"},  # noqa: S108
        ]
        pod = {
            "nodeSelector": settings.node_selector,
            "tolerations": list(settings.tolerations),
            "volumes": [
                {"name": WORKSPACE_VOLUME, "persistentVolumeClaim": {"claimName": settings.claim}},
                {"name": SHARED_MEMORY_VOLUME, "emptyDir": {"medium": "Memory"}},
            ],
            "containers": [{"name": CONTAINER, "volumeMounts": volume_mounts}],
        }
        replicated_job = {"name": REPLICATED_JOB, "template": {"spec": {"template": {"spec": pod}}}}
        return {"template": {"spec": {"replicatedJobs": [replicated_job]}}}

    def _trainer(self, folder: Path) -> dict[str, Any]:
        forwarded = [{"name": name, "value": os.environ[name]} for name in FORWARDED_VARIABLES if name in os.environ]
        return {
            "image": self.settings.image,
            "command": ["torchrun", "-m", WORKER_MODULE],
            "args": [str(folder / JOB_FILE), str(folder / EVENTS_FILE)],
            "numNodes": self.nodes,
            "numProcPerNode": self.processes,
            "resourcesPerNode": {"requests": self.settings.resources, "limits": self.settings.resources},
            "env": forwarded + list(self.settings.environment),
        }

    @contextmanager
    def _created(self, name: str, folder: Path, monitor: Monitor) -> Iterator[None]:
        """Create the TrainJob, replacing one that a killed process left, and delete it afterwards."""
        if self._delete(name, timeout=DELETE_TIMEOUT_SECONDS):
            monitor.note(f"deleted TrainJob {name} of an earlier attempt; resuming from its newest checkpoint")
        with _api_errors("the TrainJob cannot be created"):
            _api().create_namespaced_custom_object(*self._api_path, self.manifest(name, folder).to_dict())
        try:
            yield
        finally:
            self._delete(name)

    def _follow(self, name: str, receiver: EventReceiver, preemption: PreemptionFlag) -> None:
        """Pass on the pods' events until the TrainJob has ended.

        Kubernetes restarts evicted pods. An error that a pod reports would recur at each restart, so it ends the
        training at once.
        """
        last_response = time.monotonic()
        while True:
            conditions = self._conditions(name, tolerant=time.monotonic() - last_response < API_OUTAGE_SECONDS)
            last_response = last_response if conditions is None else time.monotonic()
            receiver.receive()
            if preemption.requested:
                self._delete(name)
                raise SystemExit(EXIT_CODE)
            if receiver.error:
                raise receiver.error
            if conditions and "Complete" in conditions:
                return
            if conditions and "Failed" in conditions:
                self._log_pod_tails(name)
                raise TrainingError(
                    f"TrainJob {name} failed ({conditions['Failed']})",
                    remedy="Read its pods' logs above, then run it again to resume from the newest checkpoint",
                )
            time.sleep(POLL_SECONDS)

    def _conditions(self, name: str, *, tolerant: bool) -> dict[str, str] | None:
        """Return the messages of the true conditions, or None during a tolerated outage of the API server."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            train_job = _api().get_namespaced_custom_object(*self._api_path, name)
        except (ApiException, HTTPError) as error:
            status = getattr(error, "status", SERVER_ERROR)
            if tolerant and status >= SERVER_ERROR:
                return None
            raise _platform_error(f"the status of TrainJob {name} cannot be read", f"{status} {error}") from error
        conditions = train_job.get("status", {}).get("conditions", [])
        return {item["type"]: item.get("message", "") for item in conditions if item["status"] == "True"}

    def _log_pod_tails(self, name: str) -> None:
        """Log the last lines of each pod, because the pods are deleted with their TrainJob."""
        from kubernetes.client import ApiException, CoreV1Api

        _api()
        core, namespace = CoreV1Api(), self.settings.namespace
        try:
            for pod in core.list_namespaced_pod(namespace, label_selector=f"{JOB_SET_LABEL}={name}").items:
                tail = core.read_namespaced_pod_log(pod.metadata.name, namespace, tail_lines=LOG_TAIL_LINES)
                log.error("%s: %s", pod.metadata.name, tail)
        except ApiException as error:
            log.warning("the logs of TrainJob %s cannot be read (%s)", name, error.reason)

    def _delete(self, name: str, timeout: float = SHUTDOWN_SECONDS) -> bool:
        """Delete the TrainJob, wait until its pods have stopped, and return whether it existed."""
        from kubernetes.client import ApiException

        deadline, existed = time.monotonic() + timeout, False
        while time.monotonic() < deadline:
            try:
                _api().delete_namespaced_custom_object(*self._api_path, name, propagation_policy="Foreground")
            except ApiException as error:
                if error.status == NOT_FOUND:
                    return existed
                raise _platform_error(f"TrainJob {name} cannot be deleted", error.reason) from error
            existed = True
            time.sleep(POLL_SECONDS)
        return existed

    @property
    def _api_path(self) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self.settings.namespace, PLURAL


def _api() -> Any:
    """Return a client for the cluster that this pod runs in, else for that of the user's kubeconfig."""
    from kubernetes import client, config

    try:
        config.load_incluster_config()
    except config.ConfigException:
        try:
            config.load_kube_config(os.environ.get("KUBECONFIG"))
        except config.ConfigException as error:
            raise _platform_error("no Kubernetes cluster is configured", str(error)) from error
    return client.CustomObjectsApi()


@contextmanager
def _api_errors(problem: str) -> Iterator[None]:
    from kubernetes.client import ApiException

    try:
        yield
    except ApiException as error:
        raise _platform_error(problem, f"{error.status} {error.reason}") from error


def _platform_error(problem: str, reason: str) -> LabramError:
    return PlatformError(
        f"{problem} ({reason})",
        remedy="Check that Kubeflow Trainer is installed and that this service account may use TrainJobs",
    )
