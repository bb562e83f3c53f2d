"""Memory of a process: a limit, and settings of glibc's allocator for processes that filter or train."""

import ctypes
import resource
import sys

import psutil

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # constants of <malloc.h>


def keep_freed_memory() -> None:
    """Make glibc keep freed blocks of up to 32 MiB for reuse; do nothing with other C libraries.

    By default glibc returns large blocks to the system at once, and the next step causes a page fault per 4 KiB: 50,000
    in a masked step of LaBraM-Base (benchmarks/model.md), and as much time as filtering costs in ingest.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 1 << 25)
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


def limit_memory(more: int | None) -> None:
    """Limit the memory of this process, where the system counts what was allocated; beyond it, allocations fail.

    Args:
        more: Bytes beyond those that it has now; None lifts the limit.
    """
    if sys.platform != "linux":
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = hard if more is None else psutil.Process().memory_info().data + more
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
