"""Interrupted EDF+ and BDF+ files (``EDF+D``): data records follow each other in the file and not in time.

Each record says when it began, in the first annotation of its annotation signal (EDF+ specification, 2.2.4). The
samples are handed on without holes, so events move with them, and the longest hole is told. Annotations are read here
because MNE takes the times of such a file for positions in it and drops what lies beyond.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from labram.signals.recording import Event, Recording

_TIME_KEEPING = re.compile(rb"([+-]\d+(?:\.\d*)?)\x14\x14")
_ANNOTATION = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15(\d*\.?\d*))?\x14([^\x00]*)\x14\x00")


@dataclass(frozen=True)
class RecordTimes:
    """When the data records of a file began.

    Attributes:
        onsets: Seconds since the start of the file, [records].
        duration: Seconds of a record.
    """

    onsets: NDArray[np.float64]
    duration: float


def record_times(annotations: Sequence[bytes], duration: float) -> RecordTimes | None:
    """Read the time-keeping annotations, one of each record; None where one is missing or they run backwards."""
    matches = [_TIME_KEEPING.match(text) for text in annotations]
    onsets = np.array([float(match[1]) for match in matches if match])
    if not len(onsets) or len(onsets) < len(matches) or (np.diff(onsets) <= 0).any():
        return None
    return RecordTimes(onsets, duration)


def without_holes(recording: Recording, times: RecordTimes, annotations: Sequence[bytes]) -> Recording:
    """The recording with its longest hole told, and all annotations as events at the samples they belong to."""
    holes = np.diff(times.onsets) - times.duration
    longest = float(holes.max(initial=0.0))
    return replace(
        recording,
        events=tuple(sorted(_events(annotations, times), key=lambda event: event.onset)),
        gap_seconds=round(longest, 6) if longest * recording.rate > 1 else 0.0,
    )


def _events(annotations: Sequence[bytes], times: RecordTimes) -> list[Event]:
    return [
        Event(_moved(float(onset), times), float(duration or 0), text.decode("utf-8", "replace"))
        for record in annotations
        for onset, duration, texts in _ANNOTATION.findall(record)
        for text in texts.split(b"\x14")
        if text
    ]


def _moved(onset: float, times: RecordTimes) -> float:
    """Seconds into the samples; what happened within a hole goes to the hole's place."""
    record = max(int(np.searchsorted(times.onsets, onset, side="right")) - 1, 0)
    within = min(max(onset - times.onsets[record], 0.0), times.duration)
    return round(float(record * times.duration + within), 6)
