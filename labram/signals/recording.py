"""A recording as the rest of labram sees it: signals, names and events, and nothing else of the file's header."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64] | NDArray[np.float32]


@dataclass(frozen=True)
class Event:
    """Something that happened during a recording.

    Attributes:
        onset: Seconds since the first sample.
        duration: Seconds; 0 for a moment.
        code: The file's own code for it, as text.
    """

    onset: float
    duration: float
    code: str


@dataclass(frozen=True)
class Recording:
    """One raw file, read.

    Attributes:
        data: Signals in µV, [channels, samples].
        channels: Labels as the file spells them; they may repeat.
        rate: Samples per second.
        events: In order of onset.
        gap_seconds: Longest hole in the time stamps, 0 where the format has none.
        notes: Codes of what was put up with while reading, such as ``truncated_tail``.
    """

    data: Samples
    channels: tuple[str, ...]
    rate: float
    events: tuple[Event, ...] = ()
    gap_seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.data.ndim != 2 or len(self.data) != len(self.channels):
            raise ValueError(f"data {self.data.shape} does not fit {len(self.channels)} channels")
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, not {self.rate}")

    @property
    def seconds(self) -> float:
        """Length."""
        return float(self.data.shape[1] / self.rate)
