"""The C library's memory, for processes that filter or train."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # their numbers in <malloc.h>


def keep_freed_memory() -> None:
    """Let glibc keep what is freed up to 32 MiB a piece, for the process's life; elsewhere do nothing.

    It gives large pieces back to the system at once, and the next block or step pays a page fault for each 4 KiB anew:
    as long as the filters of a recording take, and 50,000 a masked step of LaBraM-Base (benchmarks/model.md).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 1 << 25)
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
