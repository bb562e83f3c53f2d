"""ANT Neuro CNT: compressed samples in a RIFF container, read by ANT's library antio.

Beside a recording may lie triggers (.trg, .evt) and a list of its segments (.seg). MNE's reader is not used because it
crashes if the patient's birthday is missing.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from antio import read_cnt
from antio.libeep import pyeep
from numpy.typing import NDArray

from labram.signals.readers.companions import linked, with_companions, with_suffix
from labram.signals.readers.errors import empty, unreadable
from labram.signals.readers.header_text import redecode
from labram.signals.readers.limits import read_text
from labram.signals.readers.units import microvolts, of_electrodes
from labram.signals.recording import Event, Recording

_SIGNATURES = (b"RIFF", b"RF64")
_COMPANIONS = (".seg", ".trg", ".evt")
_BLOCK_SAMPLES = 1 << 16
_DISCONTINUITY = "__"
"""Code of the trigger where a recording was interrupted; at the first sample, where it began."""
_DISCONNECTED, _RECONNECTED = "amplifier disconnected", "amplifier reconnected"
_DAY_SECONDS, _FIRST_DAY = 86400, 27538
"""Dates count days since 1899-12-30; ANT's library takes earlier ones than 1975 as absent."""
_MOST_SEGMENTS = 100_000


def recognises(path: Path) -> bool:
    """Return whether a ``.cnt`` file is ANT's; the others are Neuroscan's."""
    with path.open("rb") as file:
        return file.read(4) in _SIGNATURES


def content_files(path: Path) -> tuple[Path, ...]:
    """Return the ``.cnt`` file and the files of triggers and segments beside it."""
    return with_companions(path, _COMPANIONS)


def read(path: Path) -> Recording:
    """Read a recording. Triggers become events, without their descriptions.

    A channel with another reference than most channels is named as a derivation, ``F3-C3``. `Recording.gap_seconds` is
    the longest pause by the dates of the segments (``.seg``) and the time without amplifier; None if a trigger tells an
    interruption and nothing its duration. An electrode without a unit is taken as in µV (note ``unit_not_stated``).

    Raises:
        ReadError: TOO_SHORT if it is empty, else UNREADABLE.
    """
    try:
        with linked({f"recording{file.suffix.lower()}": file for file in content_files(path)}) as folder:
            file = read_cnt(folder / "recording.cnt")
        channels = [
            [redecode(text) for text in file.get_channel(index, encoding="latin1")]
            for index in range(file.get_channel_count())
        ]
        data = _samples(file, len(channels))
        triggers = [file.get_trigger(index) for index in range(file.get_trigger_count())]
        began = _seconds(*pyeep.get_start_date_and_fraction(file._handle))
    except Exception as error:  # antio raises arbitrary exceptions of its C code
        raise unreadable(path, type(error).__name__) from None
    if not data.size:
        raise empty(path)
    sfreq = float(file.get_sample_frequency())
    ((shared, _),) = Counter(reference for _, _, reference, *_ in channels).most_common(1)
    factors = [microvolts(unit) for _, unit, *_ in channels]
    data *= np.array([factor or 1.0 for factor in factors], np.float32)[:, None]
    labels = tuple(name if reference in ("", shared) else f"{name}-{reference}" for name, _, reference, *_ in channels)
    unit, notes = of_electrodes(labels, factors)
    return Recording(
        data=data,
        channels=labels,
        sfreq=sfreq,
        events=tuple(Event(sample / sfreq, length / sfreq, code) for code, sample, length, *_ in triggers),
        gap_seconds=_longest_gap(_segments(path, data.shape[1], began), triggers, sfreq),
        notes=notes,
        unit=unit,
    )


def _samples(file: Any, channels: int) -> NDArray[np.float32]:
    """Read all samples block by block [channels, samples]."""
    data = np.empty((channels, file.get_sample_count()), np.float32)
    for start in range(0, data.shape[1], _BLOCK_SAMPLES):
        stop = min(start + _BLOCK_SAMPLES, data.shape[1])
        data[:, start:stop] = file.get_samples_as_nparray(start, stop)
    return data


def _seconds(date: float, fraction: float) -> float | None:
    """Return a date with its fraction of a second in seconds; None if it is absent."""
    return round(date * _DAY_SECONDS) + fraction if date >= _FIRST_DAY else None


def _segments(path: Path, samples: int, began: float | None) -> list[tuple[float | None, int]]:
    """Return start in seconds (None: unknown) and number of samples of each segment.

    The ``.seg`` file lists all segments but the first, which starts at the date of the recording.
    """
    listed_in = with_suffix(path, ".seg")
    if listed_in is None:
        return [(began, samples)]
    segments: list[tuple[float | None, int]] = []
    for line in read_text(listed_in).splitlines()[:_MOST_SEGMENTS]:
        words = line.split()
        try:
            date, fraction, count = float(words[0]), float(words[1]), int(words[2])
        except (IndexError, ValueError):  # the number of segments
            continue
        segments.append((_seconds(date, fraction), count))
    first = samples - sum(count for _, count in segments)
    return [(began, first), *segments] if first > 0 else segments


def _longest_gap(
    segments: Sequence[tuple[float | None, int]], triggers: Sequence[Sequence[Any]], sfreq: float
) -> float | None:
    """Return the longest pause in seconds, 0 if there is none, None if its duration is unknown."""
    gaps: list[float | None] = []
    for (start, count), (following, _) in pairwise(segments):
        known = start is not None and following is not None
        gaps.append(following - start - count / sfreq if known else None)  # type: ignore[operator]
    if len(segments) == 1:
        gaps += [None for code, sample, *_ in triggers if code == _DISCONTINUITY and sample]
    conditions = [(str(condition or "").lower(), sample) for _, sample, _, condition, *_ in triggers]
    away = [sample for condition, sample in conditions if condition == _DISCONNECTED]
    back = [sample for condition, sample in conditions if condition == _RECONNECTED]
    for sample in away:
        returned = next((other for other in back if other > sample), None)
        gaps.append(None if returned is None else (returned - sample) / sfreq)
    longest = max((gap for gap in gaps if gap is not None), default=0.0)
    if longest * sfreq > 1:
        return round(longest, 6)
    return None if None in gaps else 0.0
