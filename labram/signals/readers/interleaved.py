"""Samples that a file holds as rows of all channels, read on demand."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labram.signals.readers.errors import unreadable
from labram.signals.recording import Samples

_BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class Interleaved:
    """A `labram.signals.recording.Signal`.

    Attributes:
        path: The file of samples.
        type: NumPy type of a value.
        offset: Bytes before the first row.
        width: Values of a row.
        gains: µV per step of each value in a row.
        places: Place in a row of each channel.
    """

    path: Path
    type: np.dtype[Any]
    offset: int
    width: int
    gains: NDArray[np.float64]
    places: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of channels, number of samples."""
        size = max(self.path.stat().st_size - self.offset, 0)
        return len(self.places), size // (self.width * self.type.itemsize) if self.width else 0

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        """Read samples `start` to `stop` of some channels, µV [picks, stop - start].

        Raises:
            ReadError: If the file was truncated meanwhile or is unreadable.
        """
        places = [self.places[pick] for pick in picks]
        samples = np.empty((len(places), stop - start))
        step = max(1, _BLOCK_BYTES // (self.width * self.type.itemsize))
        for first in range(start, stop, step):
            last = min(first + step, stop)
            rows = self._rows(first, last)
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is rejected later
                samples[:, first - start : last - start] = rows[:, places].T * self.gains[places, None]
        return samples

    def _rows(self, first: int, last: int) -> NDArray[Any]:
        count = (last - first) * self.width
        try:
            position = self.offset + first * self.width * self.type.itemsize
            values = np.fromfile(self.path, self.type, count, offset=position)
        except OSError as error:
            raise unreadable(self.path, error.strerror or "input error") from None
        if len(values) < count:
            raise unreadable(self.path, "the file was truncated meanwhile")
        return values.reshape(-1, self.width)
