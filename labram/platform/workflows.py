"""Argo workflows of runs: why a task is pending, and with which message a task failed.

Kubeflow Pipelines reports neither. It reports no task at all once Argo compresses the status of a large workflow, which
is therefore read here.
"""

import base64
import gzip
import json
import re
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from labram.platform.doctor import kubernetes

AGAIN = re.compile(r"(-\d+)?(\(.*\))?$")
"""End of the name of a node: the number of a step that the pipeline has twice, and of the attempt."""
ATTEMPT = re.compile(r"\((\d+)\)$")
STARTING = ("", "PodInitializing", "ContainerCreating")
"""Messages of pods that are about to start."""
SLOW_SECONDS = 300
"""Age of such a pod after which it is reported: a volume that cannot be mounted has no other message."""
KILLED = re.compile(r"\bexit code (137|143)\b")
"""Argo's message of a container that was killed by SIGKILL or SIGTERM."""
EXITED = re.compile(r"\bexit code \d+\b")
"""Argo's message of a container that ended, to which it appends the program's own."""
LOST = re.compile(
    r"pod deleted|evict|preempt|node was low on|node .*shut ?down|exceeded quota"
    r"|pod was rejected|didn't have enough resource|UnexpectedAdmissionError"
    r"|exceed(s|ed) (the|its) (total |local ephemeral storage )?limit",
    re.IGNORECASE,
)
"""Argo's message of a pod that the cluster took away, could not create yet, or whose node did not take it."""


@dataclass(frozen=True)
class Node:
    """A task's pod as Argo sees it.

    Attributes:
        step: Name of the step; "" for pods of KFP that belong to no step.
        phase: Argo's phase: Pending, Running, Succeeded, Failed, Error, Omitted.
        message: Argo's message, which quotes the scheduler or the container.
    """

    step: str
    phase: str
    message: str

    @property
    def lost(self) -> bool:
        """Whether the cluster ended the task: its pod was deleted, evicted, killed, or ran out of memory."""
        if self.phase not in {"Failed", "Error"}:
            return False
        ended = EXITED.search(self.message)
        return bool((KILLED if ended else LOST).search(self.message) or "OOMKilled" in self.message)


@dataclass(frozen=True)
class Workflow:
    """The pods of a run.

    Attributes:
        message: Argo's message about the whole run.
        nodes: Its pods.
    """

    message: str
    nodes: tuple[Node, ...]

    @property
    def waiting(self) -> tuple[Node, ...]:
        """Pods that do not start, each with the reason."""
        return tuple(node for node in self.nodes if node.phase == "Pending" and node.message not in STARTING)

    @property
    def failed(self) -> tuple[Node, ...]:
        """Pods that failed."""
        return tuple(node for node in self.nodes if node.phase in {"Failed", "Error"})


def read(namespace: str, run: str, steps: Collection[str]) -> Workflow | None:
    """Return the workflow of a run, or None if Kubernetes does not have it (any more).

    Args:
        namespace: Namespace of the run's pods.
        run: KFP run id.
        steps: Names of all steps.

    Raises:
        PlatformError: If the Kubernetes API cannot be reached, or denies access.
    """
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows?labelSelector=pipeline/runid={run}"
    items = (kubernetes.get(path) or {}).get("items", [])
    if not items:
        return None
    status = items[0].get("status", {})
    pods = _last_attempts(node for node in _nodes(status).values() if node.get("type") == "Pod")
    nodes = (Node(_step(node["name"], steps), node.get("phase", ""), _message(node)) for node in pods)
    return Workflow(status.get("message", ""), tuple(nodes))


def _message(node: Mapping[str, Any]) -> str:
    """Return Argo's message of a node, and more if its pod should have started long ago."""
    message, started = str(node.get("message", "")), node.get("startedAt")
    if node.get("phase") != "Pending" or message not in STARTING or not started:
        return message
    if time.time() - datetime.fromisoformat(started).timestamp() < SLOW_SECONDS:
        return message
    why = "a volume that cannot be mounted, or a slow image; kubectl describe pod shows it"
    return f"{message or 'not started'} for more than {SLOW_SECONDS // 60} minutes: {why}"


def _nodes(status: Mapping[str, Any]) -> dict[str, Any]:
    compressed = status.get("compressedNodes")
    if compressed:
        return dict(json.loads(gzip.decompress(base64.b64decode(compressed))))
    return dict(status.get("nodes") or {})


def _last_attempts(pods: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the pods without those whose task Argo has tried again: ``….executor(0)`` beside ``….executor(1)``."""
    last: dict[str, tuple[int, dict[str, Any]]] = {}
    for pod in pods:
        attempt = ATTEMPT.search(pod["name"])
        task, number = (pod["name"][: attempt.start()], int(attempt[1])) if attempt else (pod["name"], 0)
        if number >= last.get(task, (0, {}))[0]:
            last[task] = (number, pod)
    return [pod for _, pod in last.values()]


def _step(name: str, steps: Collection[str]) -> str:
    """Return the step of a node, whose name is a path such as ``retrain-x7k2p.root.condition-2.pretrain.executor(0)``.

    The pod that prepares a task (``pretrain-driver``) belongs to its step.
    """
    for part in reversed(name.split(".")):
        step = AGAIN.sub("", part).removesuffix("-driver").replace("-", "_")
        if step in steps:
            return step
    return ""
