"""Limits of what readers take from a file, whatever it states about its own size."""

import errno
import os
import stat
from pathlib import Path

from labram.signals.readers.errors import too_large
from labram.signals.readers.header_text import decode

MOST_TEXT_BYTES = 1 << 26
"""Headers, markers and tables of triggers of days are far smaller."""
MOST_RATIO, LEAST_BYTES = 100, 1 << 26
"""A file may unpack to so many times its size, or to the least number of bytes. EEG unpacks to two to ten times."""


_MOST_PIECES = 10_000


def unpacked_limit(path: Path) -> int:
    """Return the most bytes that a compressed file may unpack to."""
    return max(MOST_RATIO * path.stat().st_size, LEAST_BYTES)


def read_bytes(path: Path, most: int = MOST_TEXT_BYTES) -> bytes:
    """Return the content of a regular file.

    Raises:
        ReadError: DAMAGED if it has more than `most` bytes.
        OSError: If it is a pipe or a device, or cannot be read.
    """
    with open(path, "rb", opener=_open_regular) as file:
        content = file.read(min(most, os.fstat(file.fileno()).st_size) + 1)  # a buffer of that size is made first
    if len(content) > most:
        raise too_large(path, f"the text is larger than {most >> 20} MiB")
    return content


def first_bytes(path: Path, count: int) -> bytes:
    """Return the beginning of a regular file.

    Raises:
        OSError: If it is a pipe or a device, or cannot be read.
    """
    with open(path, "rb", opener=_open_regular) as file:
        return file.read(count)


def read_text(path: Path) -> str:
    """Return text as UTF-8 if it is, else as Windows-1252 or Latin-1; see `read_bytes`."""
    return decode(read_bytes(path)).replace("\r\n", "\n")


def is_sparse(path: Path) -> bool:
    """Return whether next to nothing of a large file was ever written: its zeros take no space, and hours to read.

    Raises:
        OSError: If it cannot be read.
    """
    size = path.stat().st_size
    return path.is_file() and size > LEAST_BYTES and size > MOST_RATIO * _written(path, size)


def _written(path: Path, size: int) -> int:
    """Return the number of bytes outside holes; of a file in many pieces, and where none are told, its size."""
    written, place = 0, 0
    with open(path, "rb", opener=_open_regular) as file:
        for _ in range(_MOST_PIECES):
            try:
                start = os.lseek(file.fileno(), place, os.SEEK_DATA)
            except OSError as error:
                return written if error.errno == errno.ENXIO else size  # a hole up to the end
            place = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            written += place - start
            if place >= size:
                return written
    return size


def _open_regular(path: str, flags: int) -> int:
    """Open without waiting for a writer of a pipe, and refuse what is no regular file."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(22, "a pipe or a device")
    return descriptor
