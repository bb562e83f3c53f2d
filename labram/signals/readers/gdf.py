"""GDF, the general data format for biosignals (arXiv cs/0608052). Event codes are those of its table, in decimal.

MNE does not check the header's sizes against the file and may allocate memory for missing data, so they are checked
first.
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
"""Bytes of a sample, by its type."""
_EVENT_BYTES = {1: 6, 3: 12}
"""Bytes of an event, by the mode of the event table."""
_SECOND, _COUNT_FIRST = 1.9, 1.94
"""First versions with GDF 2 headers, and with an event table that starts with the number of events."""
_FIXED_BYTES, _CHANNEL_BYTES = 256, 256
_LIMITS, _SAMPLES, _TYPES = 104, 216, 220
"""Offsets of channel fields, in bytes per channel."""
_LIMIT_KINDS = ("<f8", "<f8", "<i8", "<i8"), ("<f8", "<f8", "<f8", "<f8")


def read(path: Path) -> Recording:
    """Read a GDF file.

    Raises:
        ReadError: TRUNCATED if records are missing, DAMAGED if an electrode's limits are no valid scale,
            else UNREADABLE.
    """
    _check(path)
    return to_recording(path, open_raw(path, mne.io.read_raw_gdf))


def _check(path: Path) -> None:
    try:
        file_size = path.stat().st_size
        with path.open("rb") as file:
            fixed = file.read(_FIXED_BYTES)
            version = float(fixed[4:8]) if fixed[:4] == b"GDF " else 0.0
            second = version >= _SECOND
            count = _whole(fixed, 252, 2 if second else 4)
            if not version or not count or _CHANNEL_BYTES * count > file_size:
                raise unreadable(path, "no GDF header")
            channels = file.read(_CHANNEL_BYTES * count)
            samples, types = (_field(channels, count, offset, "<i4") for offset in (_SAMPLES, _TYPES))
            size = 256 * _whole(fixed, 184, 2) if second else _whole(fixed, 184, 8)
            records = int.from_bytes(fixed[236:244], "little", signed=True)
            if records < 1 or samples.min() < 1 or not set(types.tolist()) <= set(_BYTES):
                raise unreadable(path, "inconsistent header fields")
            record = sum(int(number) * _BYTES[int(kind)] for number, kind in zip(samples, types, strict=True))
            if size + records * record > file_size:
                raise truncated(path, f"expected {records} data records, got {max(file_size - size, 0) // record}")
            file.seek(size + records * record)
            events = file.read(8)
    except (OSError, ValueError) as error:
        raise unreadable(path, type(error).__name__) from None
    number = _whole(events, 1, 3) if version >= _COUNT_FIRST else _whole(events, 4, 4)
    if events and size + records * record + len(events) + number * _EVENT_BYTES.get(events[0], 0) > file_size:
        raise truncated(path, "the file ends within its event table")
    _require_scale(path, channels, count, second=second)


def _whole(content: bytes, offset: int, width: int) -> int:
    return int.from_bytes(content[offset : offset + width], "little")


def _require_scale(path: Path, channels: bytes, count: int, *, second: bool) -> None:
    """Raise if an electrode has no valid scale; MNE treats equal limits as a range of 1."""
    labels = [channels[16 * i : 16 * (i + 1)].decode("latin1").strip(" \0") for i in range(count)]
    low, high, lowest, highest = (
        _field(channels, count, _LIMITS + 8 * index, kind).astype(np.float64)
        for index, kind in enumerate(_LIMIT_KINDS[second])
    )
    with np.errstate(invalid="ignore"):
        scaled = np.isfinite(high - low) & (high != low) & (highest > lowest)
    if not all(valid for valid, name in zip(scaled, canonical_names(labels), strict=True) if name):
        raise ReadError(
            "the physical and digital limits of an electrode are no valid scale",
            reason=Reason.DAMAGED,
            file=path.name,
            remedy="Export the recording again",
        )


def _field(channels: bytes, count: int, offset: int, kind: str) -> np.ndarray:
    return np.frombuffer(channels, kind, count, offset * count)
