"""Preflight: check that services and cluster have what the later tasks need."""

from collections.abc import Mapping, Sequence

from labram.errors import PlatformError
from labram.events import step
from labram.platform import doctor
from labram.tracking import mlflow_runs


def preflight(
    *,
    gpus: str,
    accelerator: str,
    node_selector: Mapping[str, str],
    tolerations: Sequence[Mapping[str, str]],
    volume: str,
    requests: Mapping[str, Mapping[str, str]],
) -> None:
    """Check services, volume and GPU pool, and report all problems at once.

    The task mounts no volume and needs no Secret, so that it always starts.

    Args:
        gpus: GPUs per node for a training, as text.
        accelerator: Resource name of the GPUs in Kubernetes.
        node_selector: Labels of the nodes with GPUs.
        tolerations: Tolerations for the taints of these nodes.
        volume: Claim of the shared volume.
        requests: CPU and memory that each step requests, see `labram.steps.sizes.Sizes.requests`.

    Raises:
        PlatformError: If a task would fail or stay pending; the remedy says what to do.
    """
    with step("preflight") as reporter, mlflow_runs.failures_recorded("preflight"):
        if not gpus.isdecimal():
            raise PlatformError(
                f"number of GPUs: expected a whole number, got {gpus!r}",
                field="gpus",
                remedy='Set it, such as "0" or "4"',
            )
        pool = doctor.Pool(int(gpus), 1, accelerator, node_selector, tolerations)
        findings = list(doctor.check_pod(pool, volume, requests))
        for finding in findings:
            if finding.state == "warning":
                reporter.note(f"{finding.subject}: {finding.detail}. {finding.remedy}.")
        doctor.require(findings)
