"""Annotations of EDF+ and BDF+, and when each data record began.

Each record says when it began, in the first annotation of its first annotation signal (EDF+ specification, 2.2.4). In
an interrupted file (``EDF+D``) records follow each other in the file and not in time: the samples are handed on without
holes, events move with them, and the longest hole is told.
"""

import math
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labram.signals.recording import Event

MOST_EVENTS = 1_000_000
"""More are noise on a trigger line, or a file made to fill memory."""

_HEAD = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?)?)?")


@dataclass(frozen=True)
class Annotation:
    """One annotation as the file has it: seconds since the file's start, seconds, and its text."""

    onset: float
    duration: float
    text: bytes


@dataclass(frozen=True)
class RecordTimes:
    """When the data records of a file began.

    Attributes:
        onsets: Seconds since the start of the file, [records], rising.
        duration: Seconds of a record.
    """

    onsets: NDArray[np.float64]
    duration: float

    @property
    def longest_gap(self) -> float:
        """Seconds between the end of a record and the beginning of the next."""
        return round(float((np.diff(self.onsets) - self.duration).max(initial=0.0)), 6)

    def sample_time(self, onset: float) -> float:
        """Seconds into the samples; what happened within a hole goes to the hole's place."""
        record = max(int(np.searchsorted(self.onsets, onset, side="right")) - 1, 0)
        within = onset - float(self.onsets[record])
        if record + 1 < len(self.onsets):
            within = min(within, self.duration)
        return round(record * self.duration + within, 6)


def parse(records: Iterable[bytes]) -> tuple[NDArray[np.float64], list[Annotation]]:
    """Read one annotation signal, record by record.

    Returns:
        The onset of each record's first, textless annotation, NaN where there is none; and all annotations with a
        text, just more than `MOST_EVENTS` at most.
    """
    times = array("d")
    found: list[Annotation] = []
    for record in records:
        first = math.nan
        for place, entry in enumerate(record.split(b"\0")):
            head, *words = entry.split(b"\x14")
            match = _HEAD.fullmatch(head)
            onset, duration = (float(match[1]), float(match[2] or 0)) if match else (math.inf, 0.0)
            if not words or not math.isfinite(onset + duration):
                continue
            if place == 0 and not words[0]:
                first = onset
            if len(found) <= MOST_EVENTS:
                found += [Annotation(onset, duration, word) for word in words if word]
        times.append(first)
    return np.array(times), found


def record_times(onsets: NDArray[np.float64], duration: float) -> RecordTimes | None:
    """When the records began; None where one does not say so, or time does not move on."""
    return RecordTimes(onsets, duration) if np.isfinite(onsets).all() and (np.diff(onsets) > 0).all() else None


def to_events(annotations: Sequence[Annotation], times: RecordTimes | None, seconds: float) -> tuple[list[Event], str]:
    """Annotations at the samples they belong to, and how they are encoded.

    Args:
        annotations: In any order.
        times: When records began; None: one after the other from 0 on.
        seconds: Length of the samples. What lies beyond is left out.
    """
    encoding = "utf-8"
    try:
        for one in annotations:
            one.text.decode(encoding)
    except UnicodeDecodeError:
        encoding = "latin1"
    located = ((times.sample_time(one.onset) if times else one.onset, one) for one in annotations)
    return [
        Event(place, one.duration, one.text.decode(encoding)) for place, one in located if 0 <= place <= seconds
    ], encoding
