"""A training on several nodes of a cluster, as a `TrainJob` of Kubeflow Trainer 2.

Its pods see the same volume as this process, so the job, what it says and its checkpoints are files there. A TrainJob
is never left to itself: when this process is told to end, the TrainJob is deleted, its pods save and leave; when
this process is killed, the next one deletes what it finds and goes on from the newest checkpoint.
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
from labram.training.distributed.job import Job, Receiver
from labram.training.distributed.launchers import JOB, LINES, SECONDS_TO_SAVE, WORKER, figures_of, written
from labram.training.preemption import EXIT_CODE, Interruption, noticed

if TYPE_CHECKING:
    from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

log = logging.getLogger(__name__)
VARIABLE = "LABRAM_TRAIN_JOB"
GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
MANAGER = "labram.dev/launcher"
CONTAINER = REPLICATED = "node"
"""The runtime's names of its training pods and of their container."""
OF_JOB_SET = "jobset.sigs.k8s.io/jobset-name"
"""Label of the pods; Trainer names the job set after the TrainJob."""
VOLUME, MEMORY = "workspace", "shared-memory"
SECONDS_BETWEEN_LOOKS = 2.0
SECONDS_TO_GO = 120
"""For the pods of an earlier attempt, which save before they leave."""
SECONDS_WITHOUT_AN_ANSWER = 600
"""The API server may be replaced while a training goes on: pods do not need it, and neither does this process."""
LAST_LINES = 30
ABSENT, BROKEN = 404, 500
HANDED_ON = ("LABRAM_RUN", "LABRAM_LOG", "LABRAM_COMPILE")
"""Variables that the pods have from this process: their logs bear the same ids, and they compile if it would."""


class Cluster(FrozenModel):
    """What the pods of a training are made of; the environment variable `LABRAM_TRAIN_JOB` holds it as JSON.

    Attributes:
        image: With labram installed.
        namespace: Where TrainJobs are made.
        runtime: Name of the ClusterTrainingRuntime; its plug-in must be the one for PyTorch.
        claim: The volume claim that holds the workspace; several nodes write to it.
        mount: Where this process and the pods see it.
        resources: Of each node, requested and at most, such as ``{"nvidia.com/gpu": "8", "memory": "256Gi"}``.
        node_selector: Labels of the nodes.
        tolerations: As Kubernetes writes them.
        environment: Environment variables as Kubernetes writes them, such as the store's credentials from a Secret.
    """

    image: str
    namespace: str = "labram"
    runtime: str = "labram-torch"
    claim: str = "labram-workspace"
    mount: Path = Path("/workspace")
    resources: dict[str, str] = Field(default_factory=dict)
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, Any], ...] = ()
    environment: tuple[dict[str, Any], ...] = ()

    @classmethod
    def described(cls, environment: Mapping[str, str], nodes: int) -> "Cluster":
        """The cluster that environment variables describe, for a training on so many nodes.

        Raises:
            PlatformError: If they describe none, or not rightly.
        """
        try:
            return cls.from_json(environment.get(VARIABLE, "{}"))
        except ValidationError as error:
            first = error.errors()[0]
            raise PlatformError(
                f"a training on {nodes} nodes needs a description of the cluster ({first['msg']})",
                field=".".join([VARIABLE, *map(str, first["loc"])]),
                remedy='Set it to JSON such as {"image": "…", "resources": {"nvidia.com/gpu": "8"}}',
            ) from error


@dataclass(frozen=True)
class TrainJob:
    """Processes on several nodes. A `labram.training.distributed.launchers.Launcher`.

    Attributes:
        nodes: How many.
        processes: On each of them, one a GPU where there are GPUs.
        cluster: What the nodes are.
    """

    nodes: int
    processes: int
    cluster: Cluster

    def run(self, job: Job, monitor: Monitor) -> dict[str, float]:
        """See `labram.training.distributed.launchers.Launcher.run`."""
        if not job.checkpoints.is_relative_to(self.cluster.mount):
            raise PlatformError(
                f"checkpoints must lie in {self.cluster.mount}, which all nodes see",
                file=job.checkpoints,
                field=VARIABLE,
                remedy="Choose a workspace there, or set mount to the volume that holds it",
            )
        name = f"labram-{job.stage}-{job.digest()}"
        with noticed() as interruption, written(job) as folder:
            receiver = Receiver(folder / LINES, monitor)
            with self._made(name, folder, monitor):
                self._follow(name, receiver, interruption)
            return figures_of(receiver)

    def resource(self, name: str, folder: Path) -> "TrainerV1alpha1TrainJob":
        """The TrainJob.

        Args:
            name: Its name.
            folder: Where `labram.training.distributed.launchers.written` has put the job.

        Raises:
            PlatformError: If what the environment says of the cluster is not what Kubernetes takes.
        """
        from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

        cluster = self.cluster
        pod = {
            "nodeSelector": cluster.node_selector,
            "tolerations": list(cluster.tolerations),
            "volumes": [
                {"name": VOLUME, "persistentVolumeClaim": {"claimName": cluster.claim}},
                {"name": MEMORY, "emptyDir": {"medium": "Memory"}},
            ],
            "containers": [
                {
                    "name": CONTAINER,
                    "volumeMounts": [
                        {"name": VOLUME, "mountPath": str(cluster.mount)},
                        {"name": MEMORY, "mountPath": "/dev/shm"},  # noqa: S108
                    ],
                }
            ],
        }
        replicated = {"name": REPLICATED, "template": {"spec": {"template": {"spec": pod}}}}
        patch = {"template": {"spec": {"replicatedJobs": [replicated]}}}
        trainer = {
            "image": cluster.image,
            "command": ["torchrun", "-m", WORKER],
            "args": [str(folder / JOB), str(folder / LINES)],
            "numNodes": self.nodes,
            "numProcPerNode": self.processes,
            "resourcesPerNode": {"requests": cluster.resources, "limits": cluster.resources},
            "env": [{"name": name, "value": os.environ[name]} for name in HANDED_ON if name in os.environ]
            + list(cluster.environment),
        }
        try:
            found = TrainerV1alpha1TrainJob.from_dict(
                {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "kind": "TrainJob",
                    "metadata": {"name": name, "namespace": cluster.namespace},
                    "spec": {
                        "runtimeRef": {"name": cluster.runtime},
                        "runtimePatches": [{"manager": MANAGER, "trainingRuntimeSpec": patch}],
                        "trainer": trainer,
                    },
                }
            )
        except ValidationError as error:
            first = error.errors()[0]
            raise PlatformError(
                f"Kubernetes would not take this description of the cluster ({first['msg']})",
                field=".".join([VARIABLE, *map(str, first["loc"])]),
                remedy="Write tolerations and environment as in a pod's manifest",
            ) from error
        assert found is not None
        return found

    @contextmanager
    def _made(self, name: str, folder: Path, monitor: Monitor) -> Iterator[None]:
        """Make the TrainJob, in place of one that a killed process has left; it is deleted in the end."""
        if self._delete(name, within=SECONDS_TO_GO):
            monitor.note(f"TrainJob {name} of an earlier attempt was deleted; its newest checkpoint is used")
        with _asked("the TrainJob cannot be made"):
            _api().create_namespaced_custom_object(*self._where, self.resource(name, folder).to_dict())
        try:
            yield
        finally:
            self._delete(name)

    def _follow(self, name: str, receiver: Receiver, interruption: Interruption) -> None:
        """Pass on what the pods say until the TrainJob has ended.

        Pods that are taken away are Kubernetes' affair, and started again; an error that labram explains would come
        back each time, so it ends the training at once.
        """
        answered = time.monotonic()
        while True:
            conditions = self._conditions(name, tolerant=time.monotonic() - answered < SECONDS_WITHOUT_AN_ANSWER)
            answered = answered if conditions is None else time.monotonic()
            receiver.receive()
            if interruption.requested:
                self._delete(name)
                raise SystemExit(EXIT_CODE)
            if receiver.error:
                raise receiver.error
            if conditions and "Complete" in conditions:
                return
            if conditions and "Failed" in conditions:
                self._show_last_words(name)
                raise TrainingError(
                    f"TrainJob {name} failed ({conditions['Failed']})",
                    remedy="Read the end of its pods' logs above; run it again to go on from the newest checkpoint",
                )
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _conditions(self, name: str, *, tolerant: bool) -> dict[str, str] | None:
        """Messages of the conditions that hold; None while the API does not answer and that is tolerated."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            found = _api().get_namespaced_custom_object(*self._where, name)
        except (ApiException, HTTPError) as error:
            status = getattr(error, "status", BROKEN)
            if tolerant and status >= BROKEN:
                return None
            raise _refused(f"TrainJob {name} cannot be followed", f"{status} {error}") from error
        conditions = found.get("status", {}).get("conditions", [])
        return {one["type"]: one.get("message", "") for one in conditions if one["status"] == "True"}

    def _show_last_words(self, name: str) -> None:
        """Write the end of each pod's log to ours: the pods go with their TrainJob."""
        from kubernetes.client import ApiException, CoreV1Api

        _api()
        core, namespace = CoreV1Api(), self.cluster.namespace
        try:
            for pod in core.list_namespaced_pod(namespace, label_selector=f"{OF_JOB_SET}={name}").items:
                words = core.read_namespaced_pod_log(pod.metadata.name, namespace, tail_lines=LAST_LINES)
                log.error("%s: %s", pod.metadata.name, words)
        except ApiException as error:
            log.warning("the logs of TrainJob %s cannot be read (%s)", name, error.reason)

    def _delete(self, name: str, within: float = SECONDS_TO_SAVE) -> bool:
        """Delete the TrainJob and wait until its pods have saved and are gone; gives whether there was one."""
        from kubernetes.client import ApiException

        deadline, found = time.monotonic() + within, False
        while time.monotonic() < deadline:
            try:
                _api().delete_namespaced_custom_object(*self._where, name, propagation_policy="Foreground")
            except ApiException as error:
                if error.status == ABSENT:
                    return found
                raise _refused(f"TrainJob {name} cannot be deleted", error.reason) from error
            found = True
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return found

    @property
    def _where(self) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self.cluster.namespace, PLURAL


def _api() -> Any:
    """The cluster that this pod is in, else that of the user's configuration."""
    from kubernetes import client, config

    try:
        config.load_incluster_config()
    except config.ConfigException:
        try:
            config.load_kube_config(os.environ.get("KUBECONFIG"))
        except config.ConfigException as error:
            raise _refused("no cluster is known here", str(error)) from error
    return client.CustomObjectsApi()


@contextmanager
def _asked(problem: str) -> Iterator[None]:
    from kubernetes.client import ApiException

    try:
        yield
    except ApiException as error:
        raise _refused(problem, f"{error.status} {error.reason}") from error


def _refused(problem: str, why: str) -> LabramError:
    return PlatformError(
        f"{problem} ({why})",
        remedy="See that Kubeflow Trainer is installed and this service account may use TrainJobs",
    )
