"""CPU cores that a process may use, and the threads and worker processes that follow from them."""

import os
import sys
from pathlib import Path

from labram.errors import PlatformError

WORKERS_VARIABLE = "LABRAM_WORKERS"
"""Environment variable: worker processes of an ingest task. It changes the speed of an ingest, not its result."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
"""CPU quota of a container (control groups, version 2): microseconds per period, or ``max``, then the period."""
CPU_V1 = Path("/sys/fs/cgroup/cpu")
"""Folder of the quota in version 1: `cpu.cfs_quota_us`, -1 for none, and `cpu.cfs_period_us`."""


def available_cores() -> int:
    """Return the number of cores: those of the machine, or the container's CPU limit if that is lower."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = _quota()
    except (OSError, ValueError):
        return cores
    return cores if quota in {"max", "-1"} else max(1, min(cores, int(quota) // int(period)))


def follow_container_limit() -> None:
    """Limit threads of BLAS, OpenMP and PyTorch to the container's CPU limit, if it is below the cores of the machine.

    These libraries count the cores of the machine. More threads than the limit allows are throttled, all at once.
    Trainings set the number of their threads themselves, since their results depend on it.
    """
    cores = available_cores()
    if cores >= len(os.sched_getaffinity(0)):
        return
    os.environ.update({name: str(cores) for name in THREAD_VARIABLES if name not in os.environ})  # of later imports
    from threadpoolctl import threadpool_limits

    threadpool_limits(cores)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(cores)


def _quota() -> list[str]:
    if CPU_MAX.exists():
        return CPU_MAX.read_text(encoding="utf-8").split()
    return [(CPU_V1 / name).read_text(encoding="utf-8").strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]


def ingest_workers() -> int:
    """Return the number of worker processes of an ingest task: `LABRAM_WORKERS`, by default the available cores.

    Raises:
        PlatformError: If the variable is not a positive whole number.
    """
    return positive(WORKERS_VARIABLE) or available_cores()


def positive(variable: str) -> int | None:
    """Return the value of an environment variable, None if it is unset or empty.

    Raises:
        PlatformError: If the value is not a positive whole number.
    """
    text = os.environ.get(variable)
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise PlatformError(
            f"expected a positive whole number, got {text!r}", field=variable, remedy="Set it to 1, 2, 4 …"
        )
    return int(text)
