"""Read recordings of any supported format. The only place that sees raw headers, which never leave it.

`read` gives microvolts, labels, rate and events. Whatever is wrong with a file becomes a `ReadError` with a reason
code; its text holds the file's name and never text from the file.
"""

from collections.abc import Callable
from pathlib import Path

from labram.errors import ReadError, Reason
from labram.signals.readers import brainvision, edf, fif, gdf, muse, smni
from labram.signals.readers.fif import read_events
from labram.signals.recording import Recording

__all__ = ["UNSUPPORTED_SUFFIXES", "content_files", "format_of", "is_recording", "read", "read_events"]

_READERS: dict[str, Callable[[Path], Recording]] = {
    "EDF": edf.read,
    "BDF": edf.read,
    "GDF": gdf.read,
    "FIF": fif.read,
    "BrainVision": brainvision.read,
    "MuseLSL CSV": muse.read,
    "UCI SMNI text": smni.read,
}
_BY_SUFFIX = {
    ".edf": "EDF",
    ".bdf": "BDF",
    ".gdf": "GDF",
    ".fif": "FIF",
    ".vhdr": "BrainVision",
    ".csv": "MuseLSL CSV",
    ".gz": "UCI SMNI text",
}
UNSUPPORTED_SUFFIXES = frozenset({".set", ".cnt", ".mff", ".xdf", ".arff", ".nwb", ".e", ".eeg", ".mefd"})
"""Suffixes of EEG formats that are known and not read; an `.eeg` without its `.vhdr` is one of them."""


def format_of(path: Path) -> str | None:
    """Name of the format in which `path` would be read; None for a file that is no recording.

    Decides by suffix, and for suffixes that say little (CSV, gzip) by the first line.
    """
    name = _BY_SUFFIX.get(path.suffix.lower())
    if name == "FIF" and fif.is_events(path):
        return None
    if name == "MuseLSL CSV" and not muse.recognises(path):
        return None
    if name == "UCI SMNI text" and not smni.recognises(path):
        return None
    return name


def is_recording(path: Path) -> bool:
    """Whether `read` has a reader for this file; says nothing about whether it is intact."""
    return format_of(path) is not None


def read(path: Path, *, unit_scale: float = 1.0) -> Recording:
    """Read one recording.

    Args:
        path: The file; for BrainVision its ``.vhdr``.
        unit_scale: What the file's amplitudes are multiplied with, for data sets whose unit is known to be stated
            wrongly.

    Raises:
        ReadError: If the file is not a supported format, damaged, truncated or unreadable.
    """
    name = format_of(path)
    if name is None:
        raise ReadError(
            f"{path.suffix or 'a file without suffix'} is not a format that is read here",
            reason=Reason.UNSUPPORTED,
            file=path.name,
            remedy=f"Convert it to one of: {', '.join(_READERS)}",
        )
    return _READERS[name](path).scaled(unit_scale)


def content_files(path: Path) -> tuple[Path, ...]:
    """All files that make up the recording, `path` first.

    Raises:
        ReadError: If a BrainVision header names a file that is not there.
    """
    if format_of(path) == "BrainVision":
        return brainvision.content_files(path)
    return (path,)
