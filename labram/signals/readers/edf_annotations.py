"""Annotations of EDF+ and BDF+, and the onsets of data records.

The first annotation of a record's first annotation signal is the onset of the record (EDF+ specification, 2.2.4). The
records of an interrupted file (``EDF+D``) are not contiguous in time: samples are concatenated, events move with them,
and the longest gap is reported.
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
"""More events are noise on a trigger line, or a malicious file."""

_HEAD = re.compile(rb"([+-]\d+(?:[.,]\d*)?)(?:\x15(\d+(?:[.,]\d*)?)?)?")
"""Onset and duration; some recorders write decimal commas."""


@dataclass(frozen=True)
class Annotation:
    """One annotation: onset in seconds since the start of the file, duration in seconds, and text."""

    onset: float
    duration: float
    text: bytes


@dataclass(frozen=True)
class RecordTimes:
    """Onsets of the data records of a file.

    Attributes:
        onsets: Seconds since the start of the file, [records], increasing.
        duration: Duration of a record in seconds.
    """

    onsets: NDArray[np.float64]
    duration: float

    @property
    def longest_gap(self) -> float:
        """Longest time in seconds between the end of a record and the start of the next."""
        return round(float((np.diff(self.onsets) - self.duration).max(initial=0.0)), 6)

    def sample_time(self, onset: float) -> float:
        """Return the time in the concatenated samples; times within a gap move to the start of the gap."""
        record = max(int(np.searchsorted(self.onsets, onset, side="right")) - 1, 0)
        within = onset - float(self.onsets[record])
        if record + 1 < len(self.onsets):
            within = min(within, self.duration)
        return round(record * self.duration + within, 6)


def parse(records: Iterable[bytes]) -> tuple[NDArray[np.float64], list[Annotation]]:
    """Read one annotation signal, record by record.

    Returns:
        The onset of each record (its first, empty annotation; NaN if missing), and all annotations with text, slightly
        more than `MOST_EVENTS` at most.
    """
    times = array("d")
    annotations: list[Annotation] = []
    for record in records:
        first = math.nan
        for index, entry in enumerate(record.split(b"\0")):
            head, *words = entry.split(b"\x14")
            match = _HEAD.fullmatch(head)
            onset, duration = (_number(match[1]), _number(match[2] or b"0")) if match else (math.inf, 0.0)
            if not words or not math.isfinite(onset + duration):
                continue
            if index == 0 and not words[0]:
                first = onset
            if len(annotations) <= MOST_EVENTS:
                annotations += [Annotation(onset, duration, word) for word in words if word]
        times.append(first)
    return np.array(times), annotations


def _number(text: bytes) -> float:
    return float(text.replace(b",", b"."))


def record_times(onsets: NDArray[np.float64], duration: float) -> RecordTimes | None:
    """Return the onsets of the records; None if one is missing or they do not increase."""
    return RecordTimes(onsets, duration) if np.isfinite(onsets).all() and (np.diff(onsets) > 0).all() else None


def to_events(annotations: Sequence[Annotation], times: RecordTimes | None, seconds: float) -> tuple[list[Event], str]:
    """Return annotations as events at their samples, and their encoding.

    Args:
        annotations: Annotations in any order.
        times: Onsets of the records; None: contiguous from 0.
        seconds: Duration of the samples; annotations beyond it are dropped.
    """
    encoding = "utf-8"
    try:
        for annotation in annotations:
            annotation.text.decode(encoding)
    except UnicodeDecodeError:
        encoding = "latin1"
    timed = ((times.sample_time(entry.onset) if times else entry.onset, entry) for entry in annotations)
    return [
        Event(onset, entry.duration, entry.text.decode(encoding)) for onset, entry in timed if 0 <= onset <= seconds
    ], encoding
