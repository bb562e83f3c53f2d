"""Size of a run's workflow status, estimated from a compiled pipeline: ``python -m pipelines.status_size FILE…``.

Argo keeps the state of a run in its Workflow object. It compresses the nodes if they exceed 1 MB, and ends a run whose
compressed nodes still do. The estimate builds the nodes that KFP 2.17 and Argo 4.0 make, and compresses them likewise:

- a task of a container: a driver and an executor, each a Retry node with one Pod node, and the executor's DAG node;
- a condition: a driver (2 nodes) and a DAG node; a loop: a driver, a DAG node and a TaskGroup node, and for each
  iteration a driver and two DAG nodes; the run: a driver and two DAG nodes;
- the driver's nodes hold specification and platform settings of the task, and its output `pod-spec-patch`: the
  container with its environment, the component and the values of its parameters. The executor's nodes hold it too.

On 2026-11-29 a run of the demo had 159 nodes and 1.73 MB on a cluster, where this gives 140 and 1.21 MB for its
pipeline then. `MEASURED` corrects the bytes for it.
"""

import base64
import gzip
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labram.errors import PlatformError
from pipelines.lint import read

LIMIT = 1_048_576
"""Bytes of compressed nodes that Argo accepts (`maxWorkflowSize`)."""
MEASURED = 1.45
"""Bytes of a status on a cluster per estimated byte."""
TIMES = {"startedAt": "2026-11-29T10:00:00Z", "finishedAt": "2026-11-29T10:01:00Z", "progress": "1/1"}
RESOURCES = {"resourcesDuration": {"cpu": 100, "memory": 1000}, "hostNodeName": "node-1"}


@dataclass(frozen=True)
class StatusSize:
    """Number of nodes, and their bytes as JSON and compressed."""

    nodes: int
    plain: int
    compressed: int


def estimate(path: Path, lists: Mapping[str, int] | None = None) -> StatusSize:
    """Return the size of the status of a run of a compiled pipeline in which every task runs.

    Args:
        path: The compiled pipeline.
        lists: Lengths of parameters that loops run over, where they differ from the defaults in the file.
    """
    nodes = {_identity(node["name"]): node for node in _Nodes(*read(path), dict(lists or {})).all()}
    plain = json.dumps(nodes, separators=(",", ":"), sort_keys=True).encode()
    compressed = len(base64.b64encode(gzip.compress(plain)))
    return StatusSize(len(nodes), round(MEASURED * len(plain)), round(MEASURED * compressed))


def check(path: Path) -> None:
    """Check that Argo can store the status of a run.

    Raises:
        PlatformError: If it would end the run, since the status is too large.
    """
    size = estimate(path)
    if size.compressed > LIMIT:
        raise PlatformError(
            f"a run would have {size.nodes} nodes, whose status ({size.compressed / 1e6:.1f} MB) Argo cannot store",
            file=path,
            remedy="Split the study, tasks or shards between several recipes: the limit is 1 MB",
        )


def _identity(name: str) -> str:
    return f"run-{int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)}"


class _Nodes:
    """Nodes of a run, from the two documents of a compiled pipeline."""

    def __init__(self, pipeline: dict[str, Any], platform: dict[str, Any], lists: dict[str, int]) -> None:
        self._components = pipeline["components"]
        self._executors, self._platform = pipeline["deploymentSpec"]["executors"], platform
        self._root, self._lists = pipeline["root"], lists
        definitions = self._root.get("inputDefinitions", {}).get("parameters", {})
        self._values = {name: definition.get("defaultValue", "") for name, definition in definitions.items()}

    def all(self) -> Iterator[dict[str, Any]]:
        """Yield all nodes."""
        yield _node("run", "DAG")
        yield from self._dag("run.root", self._root)

    def _dag(self, name: str, component: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from self._driver(f"{name}-driver", component, {}, {})
        yield _node(name, "DAG")
        for task_name, task in component["dag"]["tasks"].items():
            yield from self._task(f"{name}.{task_name}", task)

    def _task(self, name: str, task: dict[str, Any]) -> Iterator[dict[str, Any]]:
        component = self._components[task["componentRef"]["name"]]
        if "parameterIterator" in task:
            yield _node(name, "DAG")
            yield from self._driver(f"{name}.iteration-driver", component, task, {})
            yield _node(f"{name}.iteration-iterations", "TaskGroup")
            for item in range(self._length(task)):
                iteration = f"{name}.iteration-iterations({item}:{item})"
                yield _node(iteration, "DAG")
                yield from self._dag(f"{iteration}.iteration-item", component)
        elif "dag" in component:
            yield from self._dag(name, component)
        else:
            yield from self._container(name, component, task)

    def _length(self, task: dict[str, Any]) -> int:
        items = task["parameterIterator"]["items"]
        parameter = items.get("inputParameter", "").removeprefix("pipelinechannel--")
        value = self._values.get(parameter) or json.loads(items.get("raw", "[]"))
        return self._lists.get(parameter, len(value))

    def _container(self, name: str, component: dict[str, Any], task: dict[str, Any]) -> Iterator[dict[str, Any]]:
        label = component["executorLabel"]
        container, platform = self._executors[label]["container"], self._platform.get(label, {})
        values = {key: self._value(source) for key, source in task.get("inputs", {}).get("parameters", {}).items()}
        started = {"component": component, "executor_input": {"inputs": {"parameterValues": values}}}
        patch = json.dumps({"containers": [container | {"args": [*container["args"], json.dumps(started)]}]} | platform)
        given = {"container": json.dumps(container), "kubernetes-config": json.dumps(platform)}
        yield from self._driver(f"{name}-driver", component, task, given, patch)
        inputs = {"pod-spec-patch": patch, "cached-decision": "false"}
        yield _node(name, "DAG", inputs)
        yield _node(f"{name}.executor", "Retry", inputs)
        yield _node(f"{name}.executor(0)", "Pod", inputs)

    def _value(self, source: dict[str, Any]) -> Any:
        parameter = source.get("componentInputParameter", "").removeprefix("pipelinechannel--")
        return self._values.get(parameter, source.get("runtimeValue", {}).get("constant", "0" * 64))

    def _driver(
        self, name: str, component: dict[str, Any], task: dict[str, Any], given: dict[str, str], patch: str = ""
    ) -> Iterator[dict[str, Any]]:
        inputs = {"component": json.dumps(component), "task": json.dumps(task), "parent-dag-id": "1", **given}
        outputs = {"pod-spec-patch": patch, "cached-decision": "false"} if patch else {"execution-id": "1"}
        yield _node(name, "Retry", inputs, outputs)
        yield _node(f"{name}(0)", "Pod", inputs, outputs)


def _node(
    name: str, kind: str, inputs: dict[str, str] | None = None, outputs: dict[str, str] | None = None
) -> dict[str, Any]:
    def parameters(values: dict[str, str]) -> dict[str, Any]:
        return {"parameters": [{"name": key, "value": value} for key, value in values.items()]}

    own = {"id": _identity(name), "name": name, "displayName": name.rpartition(".")[2], "type": kind}
    more = {"inputs": parameters(inputs or {}), "outputs": parameters(outputs or {})}
    links = {"boundaryID": _identity(name.rpartition(".")[0]), "children": [_identity(f"{name}.next")]}
    return own | {"phase": "Succeeded", "templateScope": "local/run", **TIMES, **RESOURCES, **links, **more}


if __name__ == "__main__":
    for file in sys.argv[1:]:
        size = estimate(Path(file))
        print(f"{file}: {size.nodes} nodes, {size.plain / 1e6:.2f} MB, {size.compressed / 1e6:.2f} MB compressed")  # noqa: T201
