"""A recording as the rest of labram sees it: signals, names and events, and nothing else of the file's header."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64] | NDArray[np.float32]
UNITS = {1e6: "V", 1e3: "mV", 1.0: "µV", 1e-3: "nV"}
"""Units of voltage by their size in µV."""


class Signal(Protocol):
    """Samples that are read when they are asked for."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of channels, number of samples."""
        ...

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        """Samples `start` to `stop` of some channels, µV [picks, stop - start].

        Raises:
            ReadError: If the file turns out to be damaged there.
        """
        ...


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
    """One raw file, opened.

    Attributes:
        data: Signals in µV [channels, samples], in memory or read by blocks; `read` serves both.
        channels: Labels as the file spells them; they may repeat.
        sfreq: Sampling rate in Hz.
        events: In order of onset.
        gap_seconds: Longest hole in the time stamps, 0 where the format has none.
        notes: Codes of what was put up with while reading, such as ``truncated_tail``.
        unit: In which the file keeps the values of its electrodes: V, mV, µV or nV; empty where it does not say.
    """

    data: Samples | Signal
    channels: tuple[str, ...]
    sfreq: float
    events: tuple[Event, ...] = ()
    gap_seconds: float = 0.0
    notes: tuple[str, ...] = ()
    unit: str = ""

    def __post_init__(self) -> None:
        if len(self.data.shape) != 2 or self.data.shape[0] != len(self.channels):
            raise ValueError(f"data {self.data.shape} does not fit {len(self.channels)} channels")
        if not self.sfreq > 0:
            raise ValueError(f"sfreq must be positive, not {self.sfreq}")

    @property
    def samples(self) -> int:
        """Length in samples."""
        return int(self.data.shape[1])

    @property
    def seconds(self) -> float:
        """Length."""
        return self.samples / self.sfreq

    def read(self, picks: Sequence[int], start: int = 0, stop: int | None = None) -> Samples:
        """Samples `start` to `stop` (the end by default) of some channels, µV [picks, stop - start].

        The result is the caller's own: to change it changes nothing here.

        Raises:
            ReadError: If the file turns out to be damaged there.
            ValueError: If the recording does not reach from `start` to `stop`.
        """
        stop = self.samples if stop is None else stop
        if not 0 <= start <= stop <= self.samples:
            raise ValueError(f"samples {start} to {stop} of {self.samples}")
        if isinstance(self.data, np.ndarray):
            return self.data[list(picks), start:stop]
        return self.data.read(picks, start, stop)

    def scaled(self, factor: float) -> "Recording":
        """The same recording with all amplitudes multiplied."""
        return self if factor == 1.0 else replace(self, data=_Scaled(self, factor))


@dataclass(frozen=True)
class _Scaled:
    recording: Recording
    factor: float

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.recording.channels), self.recording.samples

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        samples = self.recording.read(picks, start, stop)
        samples *= self.factor
        return samples
