"""Persyst: a text header (.lay) and interleaved samples (.dat).

MNE's reader is not used: it needs a birthday, and ignores `SampleTimes`, the only statement of gaps.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from labram.errors import ReadError, Reason
from labram.signals.readers.companions import find_beside
from labram.signals.readers.errors import empty, outside, unreadable
from labram.signals.readers.interleaved import Interleaved
from labram.signals.readers.limits import read_text
from labram.signals.recording import Event, Recording

_TYPES = {"0": "<i2", "7": "<i4"}
_DAY_SECONDS = 86400
_SECTION = re.compile(r"^\[(\w+)\]\s*$", re.MULTILINE)
Sections = Mapping[str, Sequence[tuple[str, str]]]


def content_files(path: Path) -> tuple[Path, ...]:
    """Return the header and the file of samples that it names.

    Raises:
        ReadError: OUTSIDE if the header names a file in another folder, UNREADABLE if it is not beside the header.
    """
    name = _fields(_sections(path)).get("file", "").replace("\\", "/")
    if not name:
        raise unreadable(path, "no File entry")
    if (path.parent / name).parent != path.parent:
        raise outside(path, "the File")
    samples = find_beside(path, name) or find_beside(path, f"{path.stem}.dat")
    if samples is None:
        raise ReadError(
            "the file of samples is not beside the header",
            reason=Reason.UNREADABLE,
            file=path.name,
            field="File",
            remedy="Put the .lay and .dat files of a recording into one folder",
        )
    return path, samples


def read(path: Path) -> Recording:
    """Read a recording. Comments become events; `Recording.gap_seconds` is None without two `SampleTimes`.

    Raises:
        ReadError: TOO_SHORT if it has no samples, OUTSIDE if they are in another folder, else UNREADABLE.
    """
    sections = _sections(path)
    _, samples = content_files(path)
    fields = _fields(sections)
    labels = [label for label, _ in sections.get("channelmap", ())]
    try:
        kind = np.dtype(_TYPES[fields["datatype"]])
        rate, gain = _number(fields["samplingrate"]), _number(fields["calibration"])
        offset, count = int(fields.get("headerlength") or 0), int(fields["waveformcount"])
        places = [int(number) - 1 for _, number in sections.get("channelmap", ())]
        times = [(int(sample), _number(time)) for sample, time in sections.get("sampletimes", ())]
    except (KeyError, ValueError):
        raise unreadable(path, "missing or malformed entries") from None
    sound = np.isfinite([rate, gain]).all() and rate > 0 and gain and offset >= 0
    listed = count == len(places) and sorted(places) == [*range(len(places))]
    if not (sound and listed and fields.get("filetype", "Interleaved").lower() == "interleaved"):
        raise unreadable(path, "inconsistent entries")
    signal = Interleaved(samples, kind, offset, count, np.full(count, gain), tuple(places))
    if not all(signal.shape):
        raise empty(path)
    events = sorted(_comments(sections.get("comments", ())), key=lambda event: event.onset)
    return Recording(
        signal, tuple(labels), rate, tuple(events), _longest_gap(times, rate, signal.shape[1]), unit="µV"
    )  # fmt: skip


def _number(text: str) -> float:
    """Return a number; some systems write decimal commas."""
    return float(text.replace(",", "."))


def _sections(path: Path) -> Sections:
    """Return the entries of each section, by its name in lower case, as name and value."""
    pieces = _SECTION.split(read_text(path))
    sections: dict[str, list[tuple[str, str]]] = {}
    for name, body in zip(map(str.lower, pieces[1::2]), pieces[2::2], strict=True):
        lines = [line.strip() for line in body.splitlines() if line.strip()]
        if name == "comments":  # free text
            sections[name] = [(line, "") for line in lines]
            continue
        split = str.rpartition if name == "channelmap" else str.partition
        sections[name] = [
            (key.strip(), value.strip()) for key, sign, value in (split(line, "=") for line in lines) if sign
        ]
    return sections


def _fields(sections: Sections) -> dict[str, str]:
    return {key.lower(): value for key, value in sections.get("fileinfo", ())}


def _comments(lines: Sequence[tuple[str, str]]) -> list[Event]:
    """Return comments: onset, duration, two flags, text."""
    events = []
    for line, _ in lines:
        words = line.split(",", 4)
        try:
            onset, duration = float(words[0]), float(words[1])
        except (ValueError, IndexError):
            continue
        if len(words) == 5 and np.isfinite([onset, duration]).all():
            events.append(Event(onset, max(duration, 0.0), words[4]))
    return events


def _longest_gap(times: Sequence[tuple[int, float]], rate: float, samples: int) -> float | None:
    """Return the longest gap by the times of day of some samples; None if fewer than two are stated."""
    within = sorted((sample, time) for sample, time in times if 0 <= sample < samples and np.isfinite(time))
    if len(within) < 2:
        return None
    gaps = [
        (after - before) % _DAY_SECONDS - (stop - start) / rate % _DAY_SECONDS
        for (start, before), (stop, after) in pairwise(within)
    ]
    longest = max(gaps)
    if longest * rate > 1:
        return round(longest, 6)
    return 0.0 if all(np.isfinite(time) for _, time in times) else None
