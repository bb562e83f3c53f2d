"""Pauses of an acquisition, which MNE fills with zeros (FIF, EGI MFF): the samples are handed on without them.

Events move with the samples they belong to, and the longest pause is told, as for interrupted EDF+.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from labram.signals.recording import Recording, Samples, Signal

SKIP = "BAD_ACQ_SKIP"
"""What MNE calls a pause in its annotations."""


def find_gaps(raw: Any) -> list[tuple[int, int]]:
    """First and one past the last sample of each pause of an `mne.io.Raw`, in order."""
    rate = float(raw.info["sfreq"])
    found = []
    for onset, duration, code in zip(
        raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True
    ):
        if code == SKIP:
            # MFF's annotations begin half a sample early.
            first = int(np.ceil(round((onset - raw.first_time) * rate, 3)))
            found.append((first, first + round(duration * rate)))
    return sorted(found)


def remove_gaps(recording: Recording, pauses: Sequence[tuple[int, int]]) -> Recording:
    """The recording as if nobody had paused it; `pauses` are in samples, in order and apart."""
    if not pauses:
        return recording
    signal = _Joined(recording, tuple(pauses))
    events = tuple(
        replace(event, onset=signal.place(event.onset * recording.sfreq) / recording.sfreq)
        for event in recording.events
        if event.code != SKIP
    )
    longest = max(stop - start for start, stop in pauses)
    return replace(recording, data=signal, events=events, gap_seconds=longest / recording.sfreq)


@dataclass(frozen=True)
class _Joined(Signal):
    recording: Recording
    pauses: tuple[tuple[int, int], ...]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.recording.channels), sum(stop - start for start, stop in self._kept())

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        parts: list[Samples] = [np.empty((len(picks), 0))]
        before = 0
        for first, last in self._kept():
            begin, end = max(start - before, 0), min(stop - before, last - first)
            if begin < end:
                parts.append(self.recording.read(picks, first + begin, first + end))
            before += last - first
        joined: Samples = np.concatenate(parts, axis=1, dtype=np.float64)
        return joined

    def place(self, sample: float) -> float:
        """Where a sample of the paused recording is now; what lies in a pause is where it was paused."""
        return sample - sum(min(max(sample - start, 0), stop - start) for start, stop in self.pauses)

    def _kept(self) -> list[tuple[int, int]]:
        edges = [0, *(edge for pause in self.pauses for edge in pause), self.recording.samples]
        return [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True) if first < last]
