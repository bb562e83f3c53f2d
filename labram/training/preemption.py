"""SIGTERM, as a pod gets it before it is taken away: finish the step, save, leave."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 128 + signal.SIGTERM


class Interruption:
    """Whether somebody wants the training to end.

    Attributes:
        requested: Set by the first SIGTERM; the second has its usual effect at once.
    """

    def __init__(self) -> None:
        self.requested = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take note of the signal."""
        del frame
        self.requested = True
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def noticed() -> Iterator[Interruption]:
    """Take note of SIGTERM within; outside the main thread, where Python takes no signals, nothing is noticed."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = signal.signal(signal.SIGTERM, interruption)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGTERM, before)
