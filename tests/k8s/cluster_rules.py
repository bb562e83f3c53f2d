"""A small model of a cluster's real rules: server-side apply, Pod Security, NetworkPolicies, quota and limit range.

Each function states the rule that it models; the stock objects are those of Kubeflow's Profile controller and of KFP
2.17, as found on a real control plane.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from labram.platform.quantities import parse

PROFILE_LABELS = {
    "app.kubernetes.io/part-of": "kubeflow-profile",
    "pod-security.kubernetes.io/enforce": "baseline",
    "istio-injection": "enabled",
}
"""Labels that the Profile controller gives to a namespace, and owns."""
DEFAULT_CAPABILITIES = {
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP"),
    *("SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
}
"""Capabilities that the level `baseline` allows."""
KFP_PODS = [
    {"app": name} for name in ("ml-pipeline", "mysql", "seaweedfs", "metadata-grpc-deployment", "workflow-controller")
]
"""Labels of pods of Kubeflow Pipelines in its own namespace."""


def conflicts(existing: Mapping[str, str], namespace: str, documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the labels of an existing namespace that `kubectl apply --server-side` would fight about."""
    for item in documents:
        if (item["kind"], item["metadata"]["name"]) == ("Namespace", namespace):
            ours: Mapping[str, str] = item["metadata"].get("labels", {})
            return sorted(label for label, value in existing.items() if ours.get(label, value) != value)
    return []


def security_violations(pod: Mapping[str, Any], level: str) -> Iterator[str]:
    """Yield what a Pod Security level forbids about a pod's specification."""
    whole = pod.get("securityContext", {})
    yield from (field for field in ("hostNetwork", "hostPID", "hostIPC") if pod.get(field))
    yield from ("hostPath" for volume in pod.get("volumes", []) if "hostPath" in volume)
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        own = container.get("securityContext", {})
        added = set(own.get("capabilities", {}).get("add", []))
        if own.get("privileged"):
            yield f"{container['name']}: privileged"
        if added - (DEFAULT_CAPABILITIES if level == "baseline" else {"NET_BIND_SERVICE"}):
            yield f"{container['name']}: capabilities {sorted(added)}"
        if level != "restricted":
            continue
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{container['name']}: allowPrivilegeEscalation"
        if "ALL" not in own.get("capabilities", {}).get("drop", []):
            yield f"{container['name']}: capabilities are not dropped"
        if not own.get("runAsNonRoot", whole.get("runAsNonRoot")) or own.get("runAsUser", whole.get("runAsUser")) == 0:
            yield f"{container['name']}: runs as root"
        if own.get("seccompProfile", whole.get("seccompProfile", {})).get("type") not in {
            "RuntimeDefault",
            "Localhost",
        }:
            yield f"{container['name']}: no seccompProfile"


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a label selector matches labels; an empty one matches all."""
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for term in selector.get("matchExpressions", []):
        value = labels.get(term["key"])
        fits = {"In": lambda v, t: v in t.get("values", []), "Exists": lambda v, _: v is not None}[term["operator"]]
        if not fits(value, term):
            return False
    return True


def may_reach(
    policies: Sequence[Mapping[str, Any]],
    labels: Mapping[str, str],
    port: int,
    *,
    protocol: str = "TCP",
    namespace: Mapping[str, str] | None = None,
    pod: Mapping[str, str] | None = None,
) -> bool:
    """Return whether a pod may open a connection: policies that select it are added up; without any, all is allowed.

    Args:
        policies: Specifications of the NetworkPolicies in the pod's namespace.
        labels: Labels of the pod.
        port: Port of the target *pod*, which a policy sees instead of the Service's.
        protocol: TCP or UDP.
        namespace: Labels of the target's namespace; None: the pod's own.
        pod: Labels of the target pod; None: an address outside the cluster.
    """
    selecting = [p for p in policies if "Egress" in p["policyTypes"] and selects(p["podSelector"], labels)]
    if not selecting:
        return True
    return any(
        _peer(rule, namespace, pod) and _port(rule, port, protocol) for p in selecting for rule in p.get("egress", [])
    )


def _port(rule: Mapping[str, Any], port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    return not ports or any(it["port"] == port and it.get("protocol", "TCP") == protocol for it in ports)


def _peer(rule: Mapping[str, Any], namespace: Mapping[str, str] | None, pod: Mapping[str, str] | None) -> bool:
    if "to" not in rule:
        return True
    for peer in rule["to"]:
        if "ipBlock" in peer:
            if pod is None:
                return True
            continue
        inside = (
            selects(peer["namespaceSelector"], namespace or {}) if "namespaceSelector" in peer else namespace is None
        )
        if pod is not None and inside and selects(peer.get("podSelector", {}), pod):
            return True
    return False


def requested(pod: Mapping[str, Any], limit_range: Mapping[str, Any] | None) -> dict[str, float]:
    """Return what a pod counts for in a quota, with the defaults of a LimitRange; an init container does not add up."""
    defaults: Mapping[str, Any] = limit_range["spec"]["limits"][0] if limit_range else {}
    total: dict[str, float] = {}
    for side, default in (("requests", "defaultRequest"), ("limits", "default")):
        for resource in ("cpu", "memory"):
            values = [
                container.get("resources", {}).get(side, {}).get(resource) or defaults.get(default, {}).get(resource)
                for container in pod["containers"]
            ]
            assert all(values), f"a quota rejects a pod without {side}.{resource}"
            total[f"{side}.{resource}"] = sum(float(parse(value)) for value in values)
    return total
