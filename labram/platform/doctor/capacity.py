"""Check whether each step of a run can ever be scheduled: nodes, quota and limits of the namespace.

Only what nodes can allocate counts, not what other pods use now: a step that fits waits, one that does not waits for
ever.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labram.platform.doctor.finding import Finding, failed, passed, warned
from labram.platform.doctor.kubernetes import AUTOSCALED, Pool, get, untolerated
from labram.platform.quantities import parse

Requests = Mapping[str, Mapping[str, str]]
"""By step: `cpu` and `memory` of its request, and `pool` for steps in the GPU pool."""
SMALLER = "Compile with smaller sizes (`--sizes small`, or a file with these steps)"


@dataclass(frozen=True)
class _Node:
    cpu: float
    memory: float

    def holds(self, request: Mapping[str, str]) -> bool:
        return float(parse(request["cpu"])) <= self.cpu and float(parse(request["memory"])) <= self.memory

    def __str__(self) -> str:
        return f"{self.cpu:g} CPU and {self.memory / 2**30:.1f} GiB"


def nodes(requests: Requests, pool: Pool, *, autoscaled: bool) -> Finding:
    """Check that some node can allocate the request of each step.

    Args:
        requests: Requests of the steps.
        pool: GPU pool; its node selector applies to steps of the pool if the run uses GPUs.
        autoscaled: Nodes are added when a pod needs one, so that a missing one is a warning.
    """
    subject, items = "sizes", (get("/api/v1/nodes") or {}).get("items", [])
    general = _schedulable(items, ())
    labelled = [item for item in items if pool.node_selector.items() <= _labels(item).items()]
    in_pool = _schedulable(labelled, pool.tolerations) if pool.gpus else general
    checked = {step: it for step, it in requests.items() if labelled or not pool.gpus or "pool" not in it}
    homeless = {
        step: it for step, it in checked.items() if not any(n.holds(it) for n in (in_pool if "pool" in it else general))
    }
    if not homeless:
        return passed(subject, f"each of {len(checked)} steps fits on a node")
    steps = ", ".join(f"{step} ({it['cpu']} CPU, {it['memory']})" for step, it in homeless.items())
    largest = max([*general, *in_pool], key=lambda node: (node.memory, node.cpu), default=None)
    detail = f"no node can ever hold {steps}; the largest of {len(items)} nodes allocates {largest or 'nothing'}"
    if autoscaled:
        return warned(subject, detail, "Ignore this if the autoscaler can add such a node")
    remedy = f"{SMALLER}, use larger machines, or set {AUTOSCALED}=1 if nodes are added on demand"
    return failed(subject, detail, remedy)


def _labels(node: Mapping[str, Any]) -> dict[str, str]:
    return dict(node.get("metadata", {}).get("labels", {}))


def _schedulable(items: Sequence[dict[str, Any]], tolerations: Sequence[Mapping[str, Any]]) -> list[_Node]:
    usable = [item["status"]["allocatable"] for item in items if not untolerated(item, tolerations)]
    return [_Node(float(parse(it.get("cpu", "0"))), float(parse(it.get("memory", "0")))) for it in usable]


def quotas(requests: Requests, namespace: str) -> Iterator[Finding]:
    """Check that no step requests more than a ResourceQuota of the namespace allows in all.

    Args:
        requests: Requests of the steps.
        namespace: Namespace of the tasks.
    """
    items = (get(f"/api/v1/namespaces/{namespace}/resourcequotas") or {}).get("items", [])
    for item in items:
        hard: Mapping[str, str] = item.get("spec", {}).get("hard", {})
        name = item.get("metadata", {}).get("name", "")
        for resource in ("cpu", "memory"):
            limit = hard.get(f"requests.{resource}", hard.get(resource))
            over = [step for step, it in requests.items() if limit and parse(it[resource]) > parse(limit)]
            if over:
                detail = f"it allows {limit} of {resource} in all, less than one task of {', '.join(over)} requests"
                yield failed(f"ResourceQuota {name}", detail, f"{SMALLER}, or raise the quota")
