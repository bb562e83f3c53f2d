"""`Recording`: signals, channel names and events of a file, and nothing else from its header."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64] | NDArray[np.float32]
UNITS = {1e6: "V", 1e3: "mV", 1.0: "µV", 1e-3: "nV"}
"""Units of voltage by their factor to µV."""


class Signal(Protocol):
    """Samples that are read on demand."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of channels, number of samples."""
        ...

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        """Read samples `start` to `stop` of some channels, µV [picks, stop - start].

        Raises:
            ReadError: If the file is damaged there.
        """
        ...


@dataclass(frozen=True)
class Event:
    """An event of a recording, such as an annotation or a trigger.

    Attributes:
        onset: Seconds since the first sample.
        duration: Seconds; 0 for a point in time.
        code: Code or description in the file.
    """

    onset: float
    duration: float
    code: str


@dataclass(frozen=True)
class Recording:
    """One opened raw file.

    Attributes:
        data: Signals in µV [channels, samples], in memory or read on demand; `read` works for both.
        channels: Channel labels as in the file; they may repeat.
        sfreq: Sampling rate in Hz.
        events: In order of onset.
        gap_seconds: Longest gap between consecutive samples in seconds; 0 if format or file state that none exists;
            None if the file does not record gaps, or the reader does not look for them (warning ``gaps_unknown``).
        notes: Codes of tolerated defects, such as ``truncated_tail`` (docs/formats.md).
        unit: Unit of the electrodes in the file: V, mV, µV or nV; empty if not stated.
        trial_samples: Samples of each trial, if `data` are trials one after the other; 0: a continuous recording.
        filtered: Whether the signals have been filtered before; they are then resampled only.
    """

    data: Samples | Signal
    channels: tuple[str, ...]
    sfreq: float
    events: tuple[Event, ...] = ()
    gap_seconds: float | None = None
    notes: tuple[str, ...] = ()
    unit: str = ""
    trial_samples: int = 0
    filtered: bool = False

    def __post_init__(self) -> None:
        if len(self.data.shape) != 2 or self.data.shape[0] != len(self.channels):
            raise ValueError(f"data must be [{len(self.channels)} channels, samples], got shape {self.data.shape}")
        if not self.sfreq > 0:
            raise ValueError(f"sfreq must be positive, got {self.sfreq}")

    @property
    def samples(self) -> int:
        """Number of samples."""
        return int(self.data.shape[1])

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.samples / self.sfreq

    @property
    def trial_seconds(self) -> int:
        """Whole seconds of each trial, which the store keeps; 0: a continuous recording."""
        return int(self.trial_samples / self.sfreq + 1e-9)

    def read(self, picks: Sequence[int], start: int = 0, stop: int | None = None) -> Samples:
        """Read samples `start` to `stop` (default: the end) of some channels, µV [picks, stop - start].

        The result is a copy.

        Raises:
            ReadError: If the file is damaged there.
            ValueError: If `start` or `stop` is out of range.
        """
        stop = self.samples if stop is None else stop
        if not 0 <= start <= stop <= self.samples:
            raise ValueError(f"samples {start} to {stop} are out of range: the recording has {self.samples}")
        if isinstance(self.data, np.ndarray):
            return self.data[list(picks), start:stop]
        return self.data.read(picks, start, stop)

    def cropped(self, start_seconds: float, stop_seconds: float) -> "Recording":
        """Return the part from `start_seconds` to `stop_seconds`, with the events that begin in it."""
        start = min(max(round(start_seconds * self.sfreq), 0), self.samples)
        stop = max(min(round(stop_seconds * self.sfreq), self.samples), start)
        shift = start / self.sfreq
        events = tuple(
            replace(event, onset=event.onset - shift)
            for event in self.events
            if start <= round(event.onset * self.sfreq) < stop
        )
        return replace(self, data=_Part(self, start, stop), events=events)

    def scaled(self, factor: float) -> "Recording":
        """Return the recording with all amplitudes multiplied by `factor`."""
        return self if factor == 1.0 else replace(self, data=_Scaled(self, factor))

    def mixed(self, weights: NDArray[np.float32], names: Sequence[str]) -> "Recording":
        """Return the recording with weighted sums of its channels in their place.

        Args:
            weights: Weight of each channel in each new one [names, channels].
            names: Labels of the new channels.
        """
        return replace(self, data=_Mixed(self, weights), channels=tuple(names))


@dataclass(frozen=True)
class _Mixed:
    recording: Recording
    weights: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.weights), self.recording.samples

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        weights = self.weights[list(picks)]
        used = np.flatnonzero(weights.any(axis=0))
        return np.asarray(weights[:, used] @ self.recording.read(used.tolist(), start, stop))


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


@dataclass(frozen=True)
class _Part:
    recording: Recording
    first: int
    last: int

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.recording.channels), self.last - self.first

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        return self.recording.read(picks, self.first + start, self.first + stop)
