"""Headers and event tables of GDF 1 and 2, checked against the size of the file.

Fields with patient, laboratory or date are not read.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labram.signals.readers.edf_annotations import MOST_EVENTS
from labram.signals.readers.errors import empty, truncated, unreadable
from labram.signals.readers.header_text import field as text_field
from labram.signals.readers.units import microvolts
from labram.signals.recording import Event

TYPES = {
    1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<i8", 8: "<u8", 16: "<f4", 17: "<f8",
}  # fmt: skip
"""NumPy types of samples, by their number."""
_EVENT_BYTES = {1: 6, 3: 12}
"""Bytes of an event, by the mode of the event table."""
_EVENTS_START = 8
"""Offset of the first event in the table."""
_SECOND, _COUNT_FIRST = 1.9, 1.94
"""First versions with GDF 2 headers, and with an event table that starts with the number of events."""
_FIXED_BYTES, _CHANNEL_BYTES = 256, 256
_UNITS, _UNIT_CODES, _LIMITS, _SAMPLES, _TYPES = 96, 102, 104, 216, 220
"""Offsets of channel fields, in bytes per channel."""
_LIMIT_KINDS = ("<f8", "<f8", "<i8", "<i8"), ("<f8", "<f8", "<f8", "<f8")
_MICROVOLTS = {4256: 1e6, 4274: 1e3, 4275: 1.0, 4276: 1e-3}
"""Codes of units of voltage in GDF 2 (ISO/IEEE 11073)."""


@dataclass(frozen=True)
class Channel:
    """One signal.

    Attributes:
        label: Label in the file.
        samples: Samples per data record.
        start: Bytes of other signals before it in a data record.
        type: NumPy type of its samples.
        gain: µV per digital step, or steps of another unit; NaN if the limits are no valid scale.
        offset: µV at digital zero.
        lowest: Lowest digital value: as BIOSIG, it and all below mean "no value" (integers only).
        highest: Highest digital value: likewise.
        microvolts: Factor to µV; None if the header states no unit of voltage.
    """

    label: str
    samples: int
    start: int
    type: np.dtype
    gain: float
    offset: float
    lowest: float
    highest: float
    microvolts: float | None


@dataclass(frozen=True)
class Header:
    """Layout of a file.

    Attributes:
        size: Bytes before the first data record.
        records: Number of data records.
        record_seconds: Duration of a data record.
        record_bytes: Size of a data record.
        channels: All signals.
        counts_first: Whether the event table starts with the number of events.
    """

    size: int
    records: int
    record_seconds: float
    record_bytes: int
    channels: tuple[Channel, ...]
    counts_first: bool


def read_header(path: Path) -> Header:
    """Read and check the header.

    Raises:
        ReadError: TRUNCATED if records or events are missing, TOO_SHORT if there are none, else UNREADABLE.
    """
    try:
        with path.open("rb") as file:
            fixed = file.read(_FIXED_BYTES)
            version = float(fixed[4:8]) if fixed[:4] == b"GDF " else 0.0
            second = version >= _SECOND
            count = whole(fixed, 252, 2 if second else 4)
            if not version or not count or _CHANNEL_BYTES * count > path.stat().st_size:
                raise unreadable(path, "no GDF header")
            described = file.read(_CHANNEL_BYTES * count)
            channels = _channels(path, described, count, second=second)
    except (OSError, ValueError) as error:
        raise unreadable(path, type(error).__name__) from None
    size = 256 * whole(fixed, 184, 2) if second else whole(fixed, 184, 8)
    records = int.from_bytes(fixed[236:244], "little", signed=True)
    if records == 0:
        raise empty(path)
    numerator, denominator = whole(fixed, 244, 4), whole(fixed, 248, 4)
    if records < 1 or not numerator or not denominator:
        raise unreadable(path, "inconsistent header fields")
    record = channels[-1].start + channels[-1].samples * channels[-1].type.itemsize
    header = Header(size, records, numerator / denominator, record, channels, version >= _COUNT_FIRST)
    _check_size(path, header)
    return header


def read_events(path: Path, header: Header, sfreq: float) -> list[Event]:
    """Return the events within the samples, by their decimal code; a file may end without a table of events.

    Of more than `MOST_EVENTS`, one more is read.
    """
    start = header.size + header.records * header.record_bytes
    with path.open("rb") as file:

        def column(kind: str, offset: int) -> NDArray[np.generic]:
            file.seek(start + offset)
            return np.frombuffer(file.read(np.dtype(kind).itemsize * read), kind)

        file.seek(start)
        table = file.read(_EVENTS_START)
        number, width = _event_count(table, header), _EVENT_BYTES.get(table[0] if table else 0, 0)
        read = min(number, MOST_EVENTS + 1)
        if not read or not width:
            return []
        rate = whole(table, 1, 3) if not header.counts_first else float(np.frombuffer(table, "<f4", 1, 4)[0])
        rate = rate if 0 < rate < np.inf else sfreq
        positions = column("<u4", _EVENTS_START).astype(np.int64) - 1
        codes = column("<u2", _EVENTS_START + 4 * number)
        durations = column("<u4", _EVENTS_START + 8 * number) if width > 6 else np.ones(read)
    seconds = header.records * header.record_seconds
    return [
        Event(round(int(at) / rate, 6), max(float(duration), 1.0) / rate, str(code))
        for at, code, duration in zip(positions, codes, durations, strict=True)
        if 0 <= at / rate < seconds
    ]


def whole(content: bytes, offset: int, width: int) -> int:
    """Return an unsigned integer."""
    return int.from_bytes(content[offset : offset + width], "little")


def _event_count(table: bytes, header: Header) -> int:
    return whole(table, 1, 3) if header.counts_first else whole(table, 4, 4)


def _check_size(path: Path, header: Header) -> None:
    size, end = path.stat().st_size, header.size + header.records * header.record_bytes
    if end > size:
        got = max(size - header.size, 0) // header.record_bytes
        raise truncated(path, f"expected {header.records} data records, got {got}")
    with path.open("rb") as file:
        file.seek(end)
        table = file.read(_EVENTS_START)
    if table and end + _EVENTS_START + _event_count(table, header) * _EVENT_BYTES.get(table[0], 0) > size:
        raise truncated(path, "the file ends within its event table")


def _channels(path: Path, described: bytes, count: int, *, second: bool) -> tuple[Channel, ...]:
    def field(offset: int, kind: str) -> NDArray[np.generic]:
        return np.frombuffer(described, kind, count, offset * count)

    samples, types = field(_SAMPLES, "<i4"), field(_TYPES, "<i4")
    if samples.min() < 1 or not set(types.tolist()) <= set(TYPES):
        raise unreadable(path, "inconsistent header fields")
    low, high, lowest, highest = (
        field(_LIMITS + 8 * index, kind).astype(np.float64) for index, kind in enumerate(_LIMIT_KINDS[second])
    )
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        gain = (high - low) / (highest - lowest)
        gain[~(np.isfinite(high - low) & (high != low) & (highest > lowest) & np.isfinite(gain))] = np.nan
        offset = low - lowest * gain
    units = field(_UNIT_CODES, "<u2") if second else field(_UNITS, "S8")
    channels, start = [], 0
    for index in range(count):
        kind = np.dtype(TYPES[int(types[index])])
        factor = _MICROVOLTS.get(int(units[index])) if second else microvolts(text_field(bytes(units[index])))
        label = text_field(described[16 * index : 16 * (index + 1)])
        scale = factor or 1.0
        channels.append(
            Channel(
                label,
                int(samples[index]),
                start,
                kind,
                float(gain[index]) * scale,
                float(offset[index]) * scale,
                float(lowest[index]),
                float(highest[index]),
                factor,
            )
        )
        start += int(samples[index]) * kind.itemsize
    return tuple(channels)
