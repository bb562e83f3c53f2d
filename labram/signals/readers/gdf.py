"""GDF, the general data format for biosignals (arXiv cs/0608052). Event codes are its hexadecimal table, in decimal.

MNE believes the header: what it promises and the file does not have would be looked for, or made room for. So the
fields that say how much there is are checked first.
"""

from pathlib import Path

import mne
import numpy as np

from labram.errors import ReadError, Reason
from labram.signals.electrodes import canonical_names
from labram.signals.readers.errors import truncated, unreadable
from labram.signals.readers.with_mne import open_raw, to_recording
from labram.signals.recording import Recording

_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 8, 8: 8, 16: 4, 17: 8}
"""Of a sample, by its type."""
_EVENT_BYTES = {1: 6, 3: 12}
"""Of an event, by the mode of their table."""
_SECOND, _COUNT_FIRST = 1.9, 1.94
"""Versions from which on headers are those of GDF 2, and the table of events begins with their number."""
_FIXED_BYTES, _CHANNEL_BYTES = 256, 256
_LIMITS, _SAMPLES, _TYPES = 104, 216, 220
"""Where fields of the channels begin, in bytes a channel."""
_LIMIT_KINDS = ("<f8", "<f8", "<i8", "<i8"), ("<f8", "<f8", "<f8", "<f8")


def read(path: Path) -> Recording:
    """Read a GDF file.

    Raises:
        ReadError: TRUNCATED if records are missing, DAMAGED if an electrode's limits give no scale, UNREADABLE if it
            cannot be read.
    """
    _check(path)
    return to_recording(path, open_raw(path, mne.io.read_raw_gdf))


def _check(path: Path) -> None:
    try:
        there = path.stat().st_size
        with path.open("rb") as file:
            fixed = file.read(_FIXED_BYTES)
            version = float(fixed[4:8]) if fixed[:4] == b"GDF " else 0.0
            second = version >= _SECOND
            count = _whole(fixed, 252, 2 if second else 4)
            if not version or not count or _CHANNEL_BYTES * count > there:
                raise unreadable(path, "no GDF header")
            channels = file.read(_CHANNEL_BYTES * count)
            samples, types = (_field(channels, count, place, "<i4") for place in (_SAMPLES, _TYPES))
            size = 256 * _whole(fixed, 184, 2) if second else _whole(fixed, 184, 8)
            records = int.from_bytes(fixed[236:244], "little", signed=True)
            if records < 1 or samples.min() < 1 or not set(types.tolist()) <= set(_BYTES):
                raise unreadable(path, "header fields that contradict each other")
            record = sum(int(number) * _BYTES[int(kind)] for number, kind in zip(samples, types, strict=True))
            if size + records * record > there:
                raise truncated(
                    path, f"ends early: {max(there - size, 0) // record} of {records} data records are there"
                )
            file.seek(size + records * record)
            events = file.read(8)
    except (OSError, ValueError) as error:
        raise unreadable(path, type(error).__name__) from None
    number = _whole(events, 1, 3) if version >= _COUNT_FIRST else _whole(events, 4, 4)
    if events and size + records * record + len(events) + number * _EVENT_BYTES.get(events[0], 0) > there:
        raise truncated(path, "ends within its events")
    _refuse_without_scale(path, channels, count, second=second)


def _whole(content: bytes, place: int, width: int) -> int:
    return int.from_bytes(content[place : place + width], "little")


def _refuse_without_scale(path: Path, channels: bytes, count: int, *, second: bool) -> None:
    """MNE takes limits that are equal for a range of 1."""
    labels = [channels[16 * i : 16 * (i + 1)].decode("latin1").strip(" \0") for i in range(count)]
    low, high, lowest, highest = (
        _field(channels, count, _LIMITS + 8 * place, kind).astype(np.float64)
        for place, kind in enumerate(_LIMIT_KINDS[second])
    )
    with np.errstate(invalid="ignore"):
        scaled = np.isfinite(high - low) & (high != low) & (highest > lowest)
    if not all(fine for fine, name in zip(scaled, canonical_names(labels), strict=True) if name):
        raise ReadError(
            "the limits of an electrode give no scale",
            reason=Reason.DAMAGED,
            file=path.name,
            remedy="Export the recording again",
        )


def _field(channels: bytes, count: int, place: int, kind: str) -> np.ndarray:
    return np.frombuffer(channels, kind, count, place * count)
