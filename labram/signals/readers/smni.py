"""The UCI "EEG Database" (Begleiter 1995): gzip-compressed text files with one trial of one second each.

Lines that start with ``#`` are metadata: the fourth names the condition, later ones a channel. The others are
``trial channel sample value``, in µV.
"""

import gzip
import zlib
from pathlib import Path

import numpy as np

from labram.errors import ReadError, Reason
from labram.signals.readers.errors import truncated, unreadable
from labram.signals.recording import Event, Recording

_SIGNATURE = b"# co"
_MOST_BYTES = 1 << 24
"""Limit against decompression bombs; a trial has a third of a megabyte."""


def recognises(path: Path) -> bool:
    """Return whether the uncompressed text starts with ``# co``."""
    try:
        with gzip.open(path) as file:
            return file.read(len(_SIGNATURE)) == _SIGNATURE
    except (OSError, EOFError, zlib.error):
        return ".rd." in path.name


def read(path: Path) -> Recording:
    """Read one trial. Its condition (``S1 obj``, ``S2 match``, ``S2 nomatch err``) is the event at 0.

    Raises:
        ReadError: TRUNCATED if the archive ends early, DAMAGED if channels differ in length, else UNREADABLE.
    """
    try:
        with gzip.open(path) as file:
            text = file.read(_MOST_BYTES)
        if len(text) == _MOST_BYTES:
            raise unreadable(path, "uncompressed size exceeds that of a trial")
        lines = text.decode("ascii").splitlines()
    except EOFError:
        raise truncated(path, "the gzip archive ends early") from None
    except (OSError, zlib.error, UnicodeDecodeError) as error:
        raise unreadable(path, type(error).__name__) from None
    try:
        sfreq = round(1000.0 / float(lines[2].split()[1]), 1)
        condition = " ".join(lines[3].lstrip("#").rpartition(",")[0].split())
        signals = _signals(lines)
    except (ValueError, IndexError, ZeroDivisionError):
        raise unreadable(path, "invalid lines") from None
    if not signals or len({len(samples) for samples in signals.values()}) != 1:
        raise ReadError(
            "channels differ in length", reason=Reason.DAMAGED, file=path.name, remedy="Download the file again"
        )
    data = np.array(list(signals.values()))
    return Recording(data, tuple(signals), sfreq, (Event(0.0, data.shape[1] / sfreq, condition),), gap_seconds=0.0)


def _signals(lines: list[str]) -> dict[str, list[float]]:
    signals: dict[str, list[float]] = {}
    for line in lines:
        if line.startswith("#"):
            continue
        _, channel, _, value = line.split()
        signals.setdefault(channel, []).append(float(value))
    return signals
