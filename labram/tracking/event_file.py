"""TensorBoard event files of scalars, without TensorBoard.

An event file is a sequence of records: length, masked CRC-32C of the length, an ``Event`` as protocol buffer, masked
CRC-32C of it (tensorflow/core/lib/io/record_writer.cc, tensorflow/core/util/event.proto).
"""

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_POLYNOMIAL = 0x82F63B78
_VERSION = b"brain.Event:2"


class Scalar(NamedTuple):
    """A value of a curve: name, step, seconds since 1970."""

    tag: str
    step: int
    value: float
    wall_time: float


def write_event_file(path: Path, scalars: Iterable[Scalar], *, started: float) -> None:
    """Write scalars as a TensorBoard event file; its name must contain ``tfevents``.

    Args:
        path: The file.
        scalars: Values in any order.
        started: Start of the run in seconds since 1970.
    """
    with path.open("wb") as file:
        file.write(_record(_double(1, started) + _bytes(3, _VERSION)))
        for scalar in scalars:
            value = _bytes(1, scalar.tag.encode()) + struct.pack("<Bf", 2 << 3 | 5, scalar.value)
            event = _double(1, scalar.wall_time) + _varint(2 << 3) + _varint(scalar.step) + _bytes(5, _bytes(1, value))
            file.write(_record(event))


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", _masked(length)) + data + struct.pack("<I", _masked(data))


def _double(field: int, value: float) -> bytes:
    return struct.pack("<Bd", field << 3 | 1, value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    value &= (1 << 64) - 1
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of some bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE = tuple(_entry(byte) for byte in range(256))
