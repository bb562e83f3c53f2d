"""Remove acquisition gaps, which MNE fills with zeros (FIF, EGI MFF).

Events move with their samples, and the longest gap becomes `Recording.gap_seconds`, as for interrupted EDF+.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from labram.signals.recording import Recording, Samples, Signal

SKIP = "BAD_ACQ_SKIP"
"""MNE's annotation of a gap."""
_JOINTS = frozenset({"boundary", "bad boundary", "edge boundary"})
"""Annotations between recordings that EEGLAB or MNE joined, in lower case."""


def find_gaps(raw: Any) -> list[tuple[int, int]]:
    """Return start and stop sample of each gap of an `mne.io.Raw`, in order."""
    sfreq = float(raw.info["sfreq"])
    gaps = []
    for onset, duration, code in zip(
        raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True
    ):
        if code == SKIP:
            # MFF's annotations begin half a sample early.
            first = int(np.ceil(round((onset - raw.first_time) * sfreq, 3)))
            gaps.append((first, first + round(duration * sfreq)))
    return sorted(gaps)


def remove_gaps(recording: Recording, gaps: Sequence[tuple[int, int]]) -> Recording:
    """Return the recording without its gaps, given as disjoint start and stop samples in order."""
    if not gaps:
        return recording
    signal = _Joined(recording, tuple(gaps))
    events = tuple(
        replace(event, onset=signal.without_gaps(event.onset * recording.sfreq) / recording.sfreq)
        for event in recording.events
        if event.code != SKIP
    )
    longest = max(stop - start for start, stop in gaps)
    return replace(recording, data=signal, events=events, gap_seconds=longest / recording.sfreq)


def with_unknown_gaps(recording: Recording) -> Recording:
    """Return the recording with `gap_seconds` None instead of 0 if it was joined from several, whatever its format."""
    joined = any(event.code.strip().casefold() in _JOINTS and event.onset > 0 for event in recording.events)
    return replace(recording, gap_seconds=None) if joined and not recording.gap_seconds else recording


@dataclass(frozen=True)
class _Joined(Signal):
    recording: Recording
    gaps: tuple[tuple[int, int], ...]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.recording.channels), sum(stop - start for start, stop in self._segments())

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        parts: list[Samples] = [np.empty((len(picks), 0))]
        before = 0
        for first, last in self._segments():
            begin, end = max(start - before, 0), min(stop - before, last - first)
            if begin < end:
                parts.append(self.recording.read(picks, first + begin, first + end))
            before += last - first
        joined: Samples = np.concatenate(parts, axis=1, dtype=np.float64)
        return joined

    def without_gaps(self, sample: float) -> float:
        """Return the new index of a sample; a sample within a gap moves to the start of the gap."""
        return sample - sum(min(max(sample - start, 0), stop - start) for start, stop in self.gaps)

    def _segments(self) -> list[tuple[int, int]]:
        edges = [0, *(edge for gap in self.gaps for edge in gap), self.recording.samples]
        return [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True) if first < last]
