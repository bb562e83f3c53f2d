"""Check of Argo's workflow controller: which pods it retries, and how long it keeps workflows."""

from typing import Any

import yaml

from labram.platform.doctor.finding import Finding, passed, warned
from labram.platform.doctor.kubernetes import get

CONFIG_MAP = "/api/v1/namespaces/{namespace}/configmaps/workflow-controller-configmap"
ON_ERROR = "OnError"
"""KFP's stock policy: pods that disappear are retried by Argo, pods that fail are not."""
DEFAULT = "OnFailure"
"""Argo's policy if none is set."""


def retries(namespace: str) -> Finding:
    """Check the retry policy that the controller gives to all tasks; KFP has no field for it.

    Args:
        namespace: Namespace of Kubeflow Pipelines.
    """
    subject, path = "retries", CONFIG_MAP.format(namespace=namespace)
    document = get(path)
    if document is None:
        remedy = "Check by yourself that retryPolicy is OnError in the settings of Argo's workflow controller"
        return warned(subject, f"no ConfigMap workflow-controller-configmap in namespace {namespace}", remedy)
    policy = _policy(document.get("data", {}))
    if policy == ON_ERROR:
        return passed(
            subject,
            "Argo retries pods that were deleted; `submit --wait` and the CronJob labram-runs retry runs whose pods "
            "were evicted, killed or out of memory",
        )
    return warned(
        subject,
        f"Argo retries every failed pod (retryPolicy {policy}), so that a step that rejects its input runs again too",
        "Set workflowDefaults.spec.templateDefaults.retryStrategy.retryPolicy to OnError, which is KFP's default",
    )


def _policy(data: dict[str, str]) -> str:
    """Return the retry policy in the controller's settings, in today's format or that of one key."""
    settings: Any = yaml.safe_load(data.get("config", "")) or {}
    defaults: Any = yaml.safe_load(data.get("workflowDefaults", "")) or settings.get("workflowDefaults") or {}
    templates = defaults.get("spec", {}).get("templateDefaults", {})
    return str(templates.get("retryStrategy", {}).get("retryPolicy", DEFAULT))
