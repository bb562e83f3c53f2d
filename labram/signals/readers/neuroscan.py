"""Neuroscan CNT: 16- or 32-bit samples after a fixed header (http://paulbourke.net/dataformats/eeg/)."""

import struct
from pathlib import Path
from typing import NoReturn

import mne

from labram.signals.readers.errors import epoched, truncated, unreadable
from labram.signals.readers.header_text import redecode
from labram.signals.readers.with_mne import open_raw, to_recording
from labram.signals.recording import Recording

_CHANNELS, _SAMPLES, _EVENTS = 370, 864, 886
"""Header offsets of the number of channels, the number of samples, and the position of the event table."""
_HEADER_BYTES, _CHANNEL_BYTES = 900, 75
_TOLERANCE = 0.05
_FORMATS = {2: "int16", 4: "int32"}


def read(path: Path) -> Recording:
    """Read a continuous file.

    The header does not state the sample width, and its number of samples may be wrong. The width is the one that
    matches that number within 5 %; missing samples are a note (``truncated_tail``). The format does not tell pauses.

    Raises:
        ReadError: TRUNCATED if more than 5 % are missing, else UNREADABLE.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(b"Version 3"):
        raise unreadable(path, "no CNT signature")
    (channels,) = struct.unpack_from("<H", header, _CHANNELS)
    (announced,) = struct.unpack_from("<i", header, _SAMPLES)
    (end,) = struct.unpack_from("<i", header, _EVENTS)
    start, size = _HEADER_BYTES + _CHANNEL_BYTES * channels, path.stat().st_size
    if channels < 1 or announced < 1:
        raise unreadable(path, "inconsistent header fields")
    # In large files the position of the event table overflows its field.
    data_bytes = (end if start < end <= size else size) - start
    shares = {width: data_bytes / (width * channels * announced) for width in _FORMATS}
    width = min(shares, key=lambda width: abs(shares[width] - 1))
    if shares[width] < 1 - _TOLERANCE:
        raise truncated(path, f"expected {announced} samples of {channels} channels, got {max(data_bytes, 0)} bytes")
    if shares[width] > 1 + _TOLERANCE:
        raise unreadable(path, "unknown sample width")
    raw = open_raw(path, mne.io.read_raw_cnt, data_format=_FORMATS[width], recompute_n_samples=shares[width] != 1)
    labels = tuple(map(redecode, raw.ch_names))
    return to_recording(path, raw, channels=labels, notes=("truncated_tail",) if shares[width] < 1 else ())


def recognises_epochs(path: Path) -> bool:
    """Return whether an ``.eeg`` or ``.avg`` file is Neuroscan's, which hold epochs and averages."""
    with path.open("rb") as file:
        return file.read(8) == b"Version "


def read_epochs(path: Path) -> NoReturn:
    """Raise the error for epochs and averages.

    Raises:
        ReadError: EPOCHED, always.
    """
    raise epoched(path)
