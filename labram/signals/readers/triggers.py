"""Events from a trigger channel: one wherever its value rises."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

_TRIGGER_BITS = 0xFFFF


def rising_edges(blocks: Iterable[NDArray[np.int64]]) -> Iterator[tuple[int, str]]:
    """Yield the sample index and the new value, of 16 bits, wherever a trigger channel rises.

    Args:
        blocks: Consecutive blocks of the channel.
    """
    last, start = np.empty(0, np.int64), 0
    for block in blocks:
        levels = np.concatenate([last, np.abs(block) & _TRIGGER_BITS])
        for rise in 1 + np.flatnonzero(levels[1:] > levels[:-1]):
            yield start - len(last) + int(rise), str(levels[rise])
        last, start = levels[-1:], start + len(block)
