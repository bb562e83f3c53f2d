"""SIGTERM handling: finish the step, save a checkpoint, exit. Kubernetes sends SIGTERM before it removes a pod."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 128 + signal.SIGTERM


class PreemptionFlag:
    """A signal handler that records whether the training was asked to stop.

    Attributes:
        requested: Set by the first SIGTERM. A second SIGTERM ends the process at once.
    """

    def __init__(self) -> None:
        self.requested = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        del frame
        self.requested = True
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def catch_sigterm() -> Iterator[PreemptionFlag]:
    """Record SIGTERM in a flag. Outside the main thread, where Python runs no signal handlers, the flag stays unset."""
    flag = PreemptionFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    previous = signal.signal(signal.SIGTERM, flag)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGTERM, previous)
