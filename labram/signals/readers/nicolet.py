"""Nicolet: samples of 16 bits (.data), described by a text file of the same name (.head)."""

from pathlib import Path

import mne

from labram.signals.readers.errors import truncated, unreadable
from labram.signals.readers.with_mne import open_raw, to_recording
from labram.signals.recording import Recording

_SAMPLE_BYTES = 2


def recognises(path: Path) -> bool:
    """Whether a ``.data`` file, a suffix that many use, has a Nicolet header beside it."""
    header = path.with_suffix(".head")
    return header.is_file() and {"sample_freq", "num_channels"} <= _fields(header).keys()


def read(path: Path) -> Recording:
    """Read a ``.data`` file. All its channels count as EEG until their names say otherwise.

    Raises:
        ReadError: TRUNCATED if it is shorter than its header says, else UNREADABLE.
    """
    fields = _fields(path.with_suffix(".head"))
    try:
        promised = int(fields["num_samples"]) * int(fields["num_channels"]) * _SAMPLE_BYTES
    except (KeyError, ValueError):
        raise unreadable(path, "header fields that are not numbers") from None
    if path.stat().st_size < promised:
        raise truncated(path, "ends before the last of its samples")
    return to_recording(path, open_raw(path, mne.io.read_raw_nicolet, ch_type="eeg"))


def content_files(path: Path) -> tuple[Path, ...]:
    """The samples and their description."""
    return path, path.with_suffix(".head")


def _fields(header: Path) -> dict[str, str]:
    lines = header.read_text("latin1").splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
