"""Preflight: check that services and cluster have what the later tasks need."""

import os
from collections.abc import Mapping, Sequence

from labram import git
from labram.errors import PlatformError
from labram.events import KUBERNETES_VARIABLE, step
from labram.platform import doctor
from labram.tracking import lineage, mlflow_runs


def preflight(
    *,
    gpus: str,
    accelerator: str,
    node_selector: Mapping[str, str],
    tolerations: Sequence[Mapping[str, str]],
    volume: str,
    requests: Mapping[str, Mapping[str, str]],
    commit: str,
) -> None:
    """Check services, volume and GPU pool, and report all problems at once.

    The task mounts no volume and needs no Secret, so that it always starts.

    Args:
        gpus: GPUs per node for a training, as text.
        accelerator: Resource name of the GPUs in Kubernetes.
        node_selector: Labels of the nodes with GPUs.
        tolerations: Tolerations for the taints of these nodes.
        volume: Claim of the shared volume.
        commit: Commit from which the pipeline was compiled.
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
        _check_commit(commit)
        pool = doctor.Pool(int(gpus), 1, accelerator, node_selector, tolerations)
        findings = list(doctor.check_pod(pool, volume, requests))
        for finding in findings:
            if finding.state == "warning":
                reporter.note(f"{finding.subject}: {finding.detail}. {finding.remedy}.")
        doctor.require(findings)


def _check_commit(compiled: str) -> None:
    """Check that image and pipeline are of one commit; KFP runs any image with any pipeline.

    Raises:
        PlatformError: If both commits are known and differ, or the image of a pod was built from changed files.
    """
    own = lineage.commit()
    if git.UNKNOWN in {own, compiled}:
        return
    if own != compiled or (lineage.dirty() and KUBERNETES_VARIABLE in os.environ):
        state = " with uncommitted changes" if lineage.dirty() else ""
        raise PlatformError(
            f"the image is of commit {own[:12]}{state}, the pipeline of {compiled[:12]}",
            field="LABRAM_IMAGE",
            remedy="Build the images of this commit (`make images`) and submit their digest, or check out that commit",
        )
