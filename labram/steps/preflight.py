"""Preflight: check that the cluster has what the later tasks request."""

from collections.abc import Mapping, Sequence

from labram.errors import PlatformError
from labram.events import step
from labram.platform import doctor


def preflight(
    *,
    gpus: str,
    accelerator: str,
    node_selector: Mapping[str, str],
    tolerations: Sequence[Mapping[str, str]],
    volume: str,
) -> None:
    """Check servers, volume and GPU pool, and say all that is wrong at once. Mounts nothing, so that it always starts.

    Args:
        gpus: Of one node, for a training.
        accelerator: What Kubernetes calls them.
        node_selector: Labels of their nodes.
        tolerations: For their taints.
        volume: Claim of the volume that tasks share.

    Raises:
        PlatformError: If a task would fail or wait in vain; its remedy says what to do.
    """
    with step("preflight") as reporter:
        if not gpus.isdecimal():
            raise PlatformError(f"{gpus!r} is no number of GPUs", field="gpus", remedy='Give one such as "0" or "4"')
        pool = doctor.Pool(int(gpus), 1, accelerator, node_selector, tolerations)
        found = list(doctor.check_pod(pool, volume))
        for finding in found:
            if finding.state == "warning":
                reporter.note(f"{finding.subject}: {finding.detail}. {finding.remedy}.")
        doctor.require(found)
