"""Limits of what readers take from a file, whatever it states about its own size."""

import os
import stat
from pathlib import Path

from labram.signals.readers.errors import too_large
from labram.signals.readers.header_text import decode

MOST_TEXT_BYTES = 1 << 26
"""Headers, markers and tables of triggers of days are far smaller."""
MOST_RATIO, LEAST_BYTES = 100, 1 << 26
"""A file may unpack to so many times its size, or to the least number of bytes. EEG unpacks to two to ten times."""


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
        content = file.read(most + 1)
    if len(content) > most:
        raise too_large(path, f"the text is larger than {most >> 20} MiB")
    return content


def read_text(path: Path) -> str:
    """Return text as UTF-8 if it is, else as Windows-1252 or Latin-1; see `read_bytes`."""
    return decode(read_bytes(path)).replace("\r\n", "\n")


def _open_regular(path: str, flags: int) -> int:
    """Open without waiting for a writer of a pipe, and refuse what is no regular file."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(22, "a pipe or a device")
    return descriptor
