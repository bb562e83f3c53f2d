"""Samples of EDF and BDF, read in blocks.

Files are not memory-mapped: if a mapped file shrinks, the process dies with a bus error, and mapped pages count as
memory of the process.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labram.signals.readers.edf_header import Channel, Header
from labram.signals.readers.errors import unreadable
from labram.signals.recording import Samples

_BLOCK_BYTES = 1 << 22
_SEEK_BYTES = 1 << 14
"""From this record size on, seeking to a small part of a record is faster than reading all of it."""


class _Block(NamedTuple):
    """A part of several data records: bytes after one spare byte, and the stride between records."""

    bytes: NDArray[np.uint8]
    stride: int
    records: int


@dataclass(frozen=True)
class EdfSignal:
    """Channels with one sampling rate, as a `labram.signals.recording.Signal`.

    Attributes:
        path: The file.
        header: Its header.
        records: Number of complete data records.
        channels: Channels of the signal, all with the same number of samples per record.
    """

    path: Path
    header: Header
    records: int
    channels: tuple[Channel, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of channels, number of samples."""
        return len(self.channels), self.records * self.channels[0].samples

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        """Read samples `start` to `stop` of some channels, µV [picks, stop - start].

        EDF is float32, which is exact enough for 16 bits unless the offset is large. BDF is float64, because float32
        cannot represent its 24 bits at the offsets of DC amplifiers.

        Raises:
            ReadError: If the file was truncated meanwhile or is unreadable.
        """
        channels = [self.channels[pick] for pick in picks]
        fits = self.header.sample_bytes == 2 and all(
            abs(channel.offset) <= abs(channel.gain) * 2**16 for channel in channels
        )
        dtype = np.float32 if fits else np.float64
        samples: Samples = np.empty((len(channels), stop - start), dtype)  # type: ignore[assignment]
        for row, at, digital in _pieces(self.path, self.header, channels, start, stop):
            into = samples[row, at : at + len(digital)]
            np.multiply(digital, dtype(channels[row].gain), out=into)
            into += dtype(channels[row].offset)
        return samples


def digital(path: Path, header: Header, records: int, channel: Channel) -> Iterator[NDArray[np.integer]]:
    """Yield all digital values of one channel, piece by piece.

    Raises:
        ReadError: If the file was truncated meanwhile or is unreadable.
    """
    for _, _, values in _pieces(path, header, [channel], 0, records * channel.samples):
        yield values


def texts(path: Path, header: Header, records: int, channel: Channel) -> Iterator[bytes]:
    """Yield the bytes of an annotation channel, record by record.

    Raises:
        ReadError: If the file was truncated meanwhile or is unreadable.
    """
    low, high = (at * header.sample_bytes for at in (channel.start, channel.start + channel.samples))
    at_once = max(1, _BLOCK_BYTES // header.record_bytes)
    for first in range(0, records, at_once):
        block = _fetch(path, header, first, min(first + at_once, records), low, high)
        for record in range(block.records):
            yield block.bytes[1 + record * block.stride :][: high - low].tobytes()


def _pieces(
    path: Path, header: Header, channels: Sequence[Channel], start: int, stop: int
) -> Iterator[tuple[int, int, NDArray[np.integer]]]:
    """Yield digital values of channels with one sampling rate: channel index, offset from `start`, values."""
    if start == stop or not channels:
        return
    width, per = header.sample_bytes, channels[0].samples
    low = min(channel.start for channel in channels) * width
    high = max(channel.start + per for channel in channels) * width
    at_once = _BLOCK_BYTES // header.record_bytes
    for first in range(start // per, -(-stop // per), max(at_once, 1)):
        last = min(first + max(at_once, 1), -(-stop // per))
        begin, end = max(start, first * per), min(stop, last * per)
        skip, size = begin - first * per, end - begin
        block = _fetch(path, header, first, last, low, high) if at_once else None
        for row, channel in enumerate(channels):
            if block is not None:
                values = _integers(block, header, channel.start * width - low, per)
                yield row, begin - start, values.reshape(-1)[skip : skip + size]
            else:  # the record exceeds a block: read only the requested part
                offset = (channel.start + skip) * width
                part = _fetch(path, header, first, last, offset, offset + size * width)
                yield row, begin - start, _integers(part, header, 0, size).reshape(-1)


def _integers(block: _Block, header: Header, offset: int, count: int) -> NDArray[np.integer]:
    """Return `count` values from byte `offset` of each record of a block, [records, count]."""
    shape = block.records, count
    if header.sample_bytes == 2:
        return np.ndarray(shape, "<i2", block.bytes, offset=1 + offset, strides=(block.stride, 2))
    # Four bytes ending with the three of a sample; the shift drops the first byte and keeps the sign.
    return np.ndarray(shape, "<i4", block.bytes, offset=offset, strides=(block.stride, 3)) >> 8


def _fetch(path: Path, header: Header, first: int, last: int, low: int, high: int) -> _Block:
    """Read bytes `low` to `high` of each data record from `first` to `last`."""
    size, records = header.record_bytes, last - first
    scattered = records > 1 and size >= _SEEK_BYTES and high - low <= size // 8
    stride, span = (high - low, high - low) if scattered else (size, (records - 1) * size + high - low)
    buffer = np.empty(1 + (records if scattered else 1) * span, np.uint8)
    try:
        with path.open("rb") as file:
            for run, into in enumerate(buffer[1:].reshape(-1, span)):
                file.seek(header.size + (first + run) * size + low)
                if file.readinto(into.data) < span:
                    raise unreadable(path, "the file was truncated meanwhile")
    except OSError as error:
        raise unreadable(path, error.strerror or "input error") from None
    return _Block(buffer, stride, records)
