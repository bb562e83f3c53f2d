"""Check whether each step of a run can ever be scheduled: nodes, quotas and limit ranges of the namespace.

Only what nodes can allocate counts, not what other pods use now: a step that fits waits, one that does not waits for
ever.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labram.platform.doctor.finding import Finding, failed, passed, warned
from labram.platform.doctor.kubernetes import AUTOSCALED, Pool, get, untolerated
from labram.platform.quantities import parse

Requests = Mapping[str, Mapping[str, str]]
"""By step: `cpu` and `memory` of its request, `limits.cpu` and `limits.memory`; `pool` for steps in the GPU pool, and
`gpus` for those with a number of their own. See `labram.steps.sizes.Sizes.requests`."""
SMALLER = "Compile with smaller sizes (`--sizes small`, or a file with these steps)"
ARCHITECTURE, SYSTEM = "kubernetes.io/arch", "kubernetes.io/os"
"""Labels that Kubernetes gives to every node."""


@dataclass(frozen=True)
class _Node:
    cpu: float
    memory: float
    gpus: int

    def holds(self, request: Mapping[str, str]) -> bool:
        return float(parse(request["cpu"])) <= self.cpu and float(parse(request["memory"])) <= self.memory

    def __str__(self) -> str:
        return f"{self.cpu:g} CPU and {self.memory / 2**30:.1f} GiB"


def gpus_of(request: Mapping[str, str], pool: Pool) -> int:
    """Return the GPUs that a step requests: its own number, or that of the run; 0 outside the pool."""
    return int(request.get("gpus", pool.gpus)) if "pool" in request else 0


def most_gpus(requests: Requests, pool: Pool) -> int:
    """Return the most GPUs that a step requests."""
    return max((gpus_of(request, pool) for request in requests.values()), default=0)


def multiply(request: Mapping[str, str], pods: int) -> dict[str, str]:
    """Return what several pods with the same request have together."""
    return {key: value if key == "pool" else str(parse(value) * pods) for key, value in request.items()}


def nodes(requests: Requests, pool: Pool, *, autoscaled: bool) -> Finding:
    """Check that some node can allocate CPU, memory and GPUs of each step.

    Args:
        requests: Requests of the steps.
        pool: GPU pool, whose node selector and tolerations all of its steps have, with GPUs or without.
        autoscaled: Nodes are added when a pod needs one, so that a missing one is a warning.
    """
    subject, items = "sizes", _nodes()
    general, in_pool = _schedulable(items, pool, inside=False), _schedulable(items, pool, inside=True)
    homeless, checked = {}, 0
    for step, request in requests.items():
        gpus, chosen = gpus_of(request, pool), in_pool if "pool" in request else general
        candidates = [node for node in chosen if node.gpus >= gpus]
        if "pool" in request and (gpus or pool.node_selector) and not candidates:
            continue  # the check of the pool reports it
        checked += 1
        if not any(node.holds(request) for node in candidates):
            homeless[step] = request
    if not homeless:
        return passed(subject, f"each of {checked} steps fits on a node")
    steps = ", ".join(_shown(step, request, pool) for step, request in homeless.items())
    largest = max([*general, *in_pool], key=lambda node: (node.memory, node.cpu), default=None)
    detail = f"no node can ever hold {steps}; the largest of {len(items)} nodes allocates {largest or 'nothing'}"
    if autoscaled:
        return warned(subject, detail, "Ignore this if the autoscaler can add such a node")
    remedy = f"{SMALLER}, use larger machines, or set {AUTOSCALED}=1 if nodes are added on demand"
    return failed(subject, detail, remedy)


def architectures() -> Iterator[Finding]:
    """Yield a finding if a pod of ours may be scheduled on a node for which the images are not built."""
    usable = [item for item in _nodes() if not untolerated(item, ())]
    foreign = [kind for kind in map(_kind, usable) if kind != "linux/amd64"]
    if foreign:
        detail = f"{len(foreign)} of {len(usable)} nodes are {', '.join(sorted(set(foreign)))}; images are linux/amd64"
        remedy = "Taint these nodes, or use a cluster without them: a pod there ends with `exec format error`"
        yield (failed if len(foreign) == len(usable) else warned)("nodes", detail, remedy)


def _kind(item: Mapping[str, Any]) -> str:
    labels = _labels(item)
    return f"{labels.get(SYSTEM, 'linux')}/{labels.get(ARCHITECTURE, 'amd64')}"


def _shown(step: str, request: Mapping[str, str], pool: Pool) -> str:
    gpus = gpus_of(request, pool)
    parts = [f"{request['cpu']} CPU", request["memory"], *([f"{gpus} GPUs on one node"] if gpus else [])]
    return f"{step} ({', '.join(parts)})"


def _nodes() -> list[dict[str, Any]]:
    return list((get("/api/v1/nodes") or {}).get("items", []))


def _labels(item: Mapping[str, Any]) -> dict[str, str]:
    return dict(item.get("metadata", {}).get("labels", {}))


def _schedulable(items: Sequence[dict[str, Any]], pool: Pool, *, inside: bool) -> list[_Node]:
    """Return the nodes that admit the steps inside or outside the GPU pool."""
    selector, tolerations = (pool.node_selector, pool.tolerations) if inside else ({}, ())
    admitting = [it for it in items if selector.items() <= _labels(it).items() and not untolerated(it, tolerations)]
    sizes = [item["status"]["allocatable"] for item in admitting]
    return [
        _Node(float(parse(it.get("cpu", "0"))), float(parse(it.get("memory", "0"))), int(it.get(pool.accelerator, 0)))
        for it in sizes
    ]


def quotas(requests: Requests, pool: Pool, namespace: str) -> Iterator[Finding]:
    """Check that no step requests more than a ResourceQuota of the namespace allows in all.

    A quota rejects pods without the requests or limits that it counts. Containers of KFP may have none, unless a
    LimitRange of the namespace has defaults.

    Args:
        requests: Requests of the steps.
        pool: GPU pool.
        namespace: Namespace of the tasks.
    """
    defaults = _defaults(_items(namespace, "limitranges"))
    for item in _items(namespace, "resourcequotas"):
        hard: Mapping[str, str] = item.get("spec", {}).get("hard", {})
        subject = f"ResourceQuota {item.get('metadata', {}).get('name', '')}"
        for resource, limit in hard.items():
            over = _above(limit, _counted(resource, pool), requests, pool)
            if over:
                what = resource.removeprefix("requests.")
                detail = f"it allows {limit} of {what} in all, less than one task of {', '.join(over)} requests"
                yield failed(subject, detail, f"{SMALLER}, or raise the quota")
        if missing := sorted({_counted(resource, pool) for resource in hard} & COUNTED - defaults):
            detail = f"it counts {', '.join(missing)}, for which no LimitRange has a default"
            remedy = "Add one (k8s/places/namespace/limits.yaml): pods of KFP whose containers set none are rejected"
            yield warned(subject, detail, remedy)


COUNTED = {"cpu", "memory", "limits.cpu", "limits.memory"}
"""What a quota counts of every container, in the words of `Requests`."""


def _counted(resource: str, pool: Pool) -> str:
    """Return the key of `Requests` that a resource of a quota counts, "gpus", or "" for all others."""
    name = resource.removeprefix("requests.")
    return "gpus" if name == pool.accelerator else name if name in COUNTED else ""


def _above(limit: str, counted: str, requests: Requests, pool: Pool) -> list[str]:
    """Return the steps of which one task is above a limit."""
    if counted == "gpus":
        return [step for step, request in requests.items() if gpus_of(request, pool) > parse(limit)]
    return [step for step, request in requests.items() if counted and parse(request.get(counted, "0")) > parse(limit)]


def _items(namespace: str, kind: str) -> list[dict[str, Any]]:
    return list((get(f"/api/v1/namespaces/{namespace}/{kind}") or {}).get("items", []))


def _limits(items: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name of each LimitRange with each of its limits on containers or pods."""
    for item in items:
        for limit in item.get("spec", {}).get("limits", []):
            if limit.get("type") in {"Container", "Pod"}:
                yield item.get("metadata", {}).get("name", ""), limit


def _defaults(items: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return what containers get by default, in the words of `Requests`."""
    found: set[str] = set()
    for _, limit in _limits(items):
        found |= {*limit.get("defaultRequest", {}), *(f"limits.{resource}" for resource in limit.get("default", {}))}
        found |= {
            *limit.get("default", {}),
            *limit.get("max", {}),
        }  # request: the limit; limit: the maximum
        found |= {f"limits.{resource}" for resource in limit.get("max", {})}
    return found


def limit_ranges(requests: Requests, namespace: str) -> Iterator[Finding]:
    """Check that no step is above the maximum or below the minimum of a LimitRange, which rejects its pods.

    Args:
        requests: Requests of the steps.
        namespace: Namespace of the tasks.
    """
    for name, limit in _limits(_items(namespace, "limitranges")):
        for resource in ("cpu", "memory"):
            most, least = limit.get("max", {}).get(resource), limit.get("min", {}).get(resource)
            over = _above(most, f"limits.{resource}", requests, Pool(0)) if most else []
            under = [step for step, it in requests.items() if least and parse(it[resource]) < parse(least)]
            for steps, detail in ((over, f"at most {most}"), (under, f"at least {least}")):
                if steps:
                    detail = f"a container may have {detail} of {resource}; {', '.join(steps)} would be rejected"
                    yield failed(f"LimitRange {name}", detail, "Change the sizes of these steps (--sizes FILE), or it")
