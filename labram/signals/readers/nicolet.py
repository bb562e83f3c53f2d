"""Nicolet: 16-bit samples (.data) with a text header of the same name (.head)."""

from dataclasses import replace
from pathlib import Path

import mne

from labram.signals.readers.errors import truncated, unreadable
from labram.signals.readers.with_mne import open_raw, to_recording
from labram.signals.recording import Recording

_SAMPLE_BYTES = 2


def recognises(path: Path) -> bool:
    """Return whether a ``.data`` file has a Nicolet header beside it."""
    header = path.with_suffix(".head")
    return header.is_file() and {"sample_freq", "num_channels"} <= _fields(header).keys()


def read(path: Path) -> Recording:
    """Read a ``.data`` file. The format does not tell pauses.

    All channels are read as EEG; channel names select electrodes later.

    Raises:
        ReadError: TRUNCATED if it is shorter than its header states, else UNREADABLE.
    """
    fields = _fields(path.with_suffix(".head"))
    try:
        expected = int(fields["num_samples"]) * int(fields["num_channels"]) * _SAMPLE_BYTES
    except (KeyError, ValueError):
        raise unreadable(path, "non-numeric header fields") from None
    if path.stat().st_size < expected:
        raise truncated(path, "the file ends before the last sample")
    return replace(to_recording(path, open_raw(path, mne.io.read_raw_nicolet, ch_type="eeg")), gap_seconds=None)


def content_files(path: Path) -> tuple[Path, ...]:
    """Return the sample file and its header."""
    return path, path.with_suffix(".head")


def _fields(header: Path) -> dict[str, str]:
    lines = header.read_text("latin1").splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
