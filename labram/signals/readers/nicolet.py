"""Nicolet: 16-bit samples (.data) with a text header of the same name (.head)."""

from pathlib import Path
from typing import Any

import mne

from labram.errors import ReadError
from labram.signals.readers.companions import linked, with_suffix
from labram.signals.readers.errors import truncated, unreadable
from labram.signals.readers.limits import read_text
from labram.signals.readers.with_mne import open_raw, to_recording
from labram.signals.recording import Recording

_SAMPLE_BYTES = 2


def recognises(path: Path) -> bool:
    """Return whether a ``.data`` file has a Nicolet header beside it."""
    header = with_suffix(path, ".head")
    return header is not None and header.is_file() and {"sample_freq", "num_channels"} <= _fields(header).keys()


def read(path: Path) -> Recording:
    """Read a ``.data`` file. The format does not tell pauses.

    All channels are read as EEG; channel names select electrodes later.

    Raises:
        ReadError: TRUNCATED if it is shorter than its header states, else UNREADABLE.
    """
    header = content_files(path)[1]
    fields = _fields(header)
    try:
        expected = int(fields["num_samples"]) * int(fields["num_channels"]) * _SAMPLE_BYTES
    except (KeyError, ValueError):
        raise unreadable(path, "non-numeric header fields") from None
    if path.stat().st_size < expected:
        raise truncated(path, "the file ends before the last sample")
    labels = tuple(label.strip() for label in fields.get("elec_names", "").strip("[]").split(","))
    return to_recording(path, _open(path, header), channels=labels)


def content_files(path: Path) -> tuple[Path, ...]:
    """Return the sample file and its header."""
    return path, with_suffix(path, ".head") or path.with_suffix(".head")


def _open(path: Path, header: Path) -> Any:
    with linked({"recording.data": path}) as folder:
        (folder / "recording.head").write_bytes(read_text(header).encode("ascii", "replace"))  # whatever the locale
        try:
            raw = open_raw(folder / "recording.data", mne.io.read_raw_nicolet, ch_type="eeg")
        except ReadError as error:
            error.file = path.name
            raise
    raw.filenames = [path.absolute()]
    return raw


def _fields(header: Path) -> dict[str, str]:
    lines = read_text(header).splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
