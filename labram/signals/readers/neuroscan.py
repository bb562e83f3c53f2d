"""Neuroscan CNT: 16 or 32 bit samples behind a header of fixed places (http://paulbourke.net/dataformats/eeg/)."""

import struct
from pathlib import Path

import mne

from labram.signals.readers.errors import truncated, unreadable
from labram.signals.readers.with_mne import open_raw, to_recording
from labram.signals.recording import Recording

_CHANNELS, _SAMPLES, _EVENTS = 370, 864, 886
"""Where the header has the number of channels, that of samples, and the place of the event table."""
_HEADER_BYTES, _CHANNEL_BYTES = 900, 75
_TOLERANCE = 0.05
_FORMATS = {2: "int16", 4: "int32"}


def read(path: Path) -> Recording:
    """Read a continuous file.

    The header does not say how wide a sample is, and its number of samples may be wrong. The width is the one that
    brings the samples that are there within 5 % of that number; if they are fewer, that is noted (``truncated_tail``).

    Raises:
        ReadError: TRUNCATED if more than 5 % are missing, else UNREADABLE.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(b"Version 3"):
        raise unreadable(path, "no CNT signature")
    (channels,) = struct.unpack_from("<H", header, _CHANNELS)
    (promised,) = struct.unpack_from("<i", header, _SAMPLES)
    (end,) = struct.unpack_from("<i", header, _EVENTS)
    start, size = _HEADER_BYTES + _CHANNEL_BYTES * channels, path.stat().st_size
    if channels < 1 or promised < 1:
        raise unreadable(path, "header fields that contradict each other")
    # In large files the place of the event table does not fit into its field.
    data_bytes = (end if start < end <= size else size) - start
    shares = {width: data_bytes / (width * channels * promised) for width in _FORMATS}
    width = min(shares, key=lambda width: abs(shares[width] - 1))
    if shares[width] < 1 - _TOLERANCE:
        raise truncated(path, f"ends early: {max(data_bytes, 0)} bytes of samples are there")
    if shares[width] > 1 + _TOLERANCE:
        raise unreadable(path, "samples of no known width")
    raw = open_raw(path, mne.io.read_raw_cnt, data_format=_FORMATS[width], recompute_n_samples=shares[width] != 1)
    return to_recording(path, raw, notes=("truncated_tail",) if shares[width] < 1 else ())
