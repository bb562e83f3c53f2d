"""Read recordings of any supported format. The only place that sees raw headers, which never leave it.

`read` gives microvolts, labels, rate and events. Whatever is wrong with a file becomes a `ReadError` with a reason
code; its text holds the file's name and never text from the file. docs/formats.md lists what is read and refused.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from labram.errors import ReadError, Reason
from labram.signals.readers import (
    ant,
    arff,
    brainvision,
    edf,
    eeglab,
    egi,
    fif,
    gdf,
    isolated_reader,
    muse,
    muse_monitor,
    neuroscan,
    nicolet,
    smni,
    text,
    xdf,
)
from labram.signals.readers.errors import unreadable
from labram.signals.readers.fif import read_events
from labram.signals.recording import Recording

__all__ = [
    "EEG_SUFFIXES",
    "FORMATS",
    "SHARED_SUFFIXES",
    "Format",
    "content_files",
    "format_of",
    "is_recording",
    "read",
    "read_events",
]


def _alone(path: Path) -> tuple[Path, ...]:
    return (path,)


@dataclass(frozen=True)
class Format:
    """A kind of recording.

    Attributes:
        name: For people.
        suffixes: In lower case.
        read: Opens a recording.
        recognises: Whether a file with such a suffix is of this kind; None where the suffix says it all.
        content_files: All files that make up a recording, itself first.
        unit: In which it keeps values, where the format fixes that.
        fragile: Whether a damaged file can crash the library that reads it (see `.isolated_reader`).
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Path], Recording]
    recognises: Callable[[Path], bool] | None = None
    content_files: Callable[[Path], tuple[Path, ...]] = _alone
    unit: str = ""
    fragile: bool = False


FORMATS = (
    Format("EDF", (".edf",), edf.read),
    Format("BDF", (".bdf",), edf.read),
    Format("GDF", (".gdf",), gdf.read),
    Format("FIF", (".fif",), fif.read, lambda path: not fif.is_events(path), unit="V"),
    Format("BrainVision", (".vhdr",), brainvision.read, content_files=brainvision.content_files),
    Format("EEGLAB", (".set",), eeglab.read, content_files=eeglab.content_files, unit="µV", fragile=True),
    Format("ANT CNT", (".cnt",), ant.read, ant.recognises, fragile=True),
    Format("Neuroscan CNT", (".cnt",), neuroscan.read, unit="µV"),
    Format("EGI MFF", (".mff",), egi.read_mff, content_files=egi.mff_files),
    Format("EGI simple binary", (".raw",), egi.read_raw, egi.recognises_raw),
    Format("Nicolet", (".data",), nicolet.read, nicolet.recognises, nicolet.content_files),
    Format("XDF", (".xdf",), xdf.read),
    Format("Emotiv ARFF", (".arff",), arff.read, arff.recognises),
    Format("MuseLSL CSV", (".csv",), muse.read, muse.recognises, unit="µV"),
    Format("Muse Monitor CSV", (".csv",), muse_monitor.read, muse_monitor.recognises, unit="µV"),
    Format("UCI SMNI text", (".gz",), smni.read, smni.recognises, unit="µV"),
    Format("text of samples", (".txt", ".csv", ".tsv", ".asc"), text.read, text.recognises),
)
"""In the order in which a file is tried."""

SHARED_SUFFIXES = frozenset({".raw", ".data", ".arff", ".csv", ".gz", ".txt", ".tsv", ".asc"})
"""Suffixes that other kinds of files have too: such a file is EEG if one of the formats recognises it."""

_UNREAD = {
    ".nwb": "Neurodata Without Borders",
    ".e": "Nicolet (since 2010)",
    ".eeg": "BrainVision samples without their .vhdr, or Nihon Kohden",
    ".mefd": "MEF 3",
    ".trc": "Micromed",
}

EEG_SUFFIXES = frozenset(suffix for kind in FORMATS for suffix in kind.suffixes) - SHARED_SUFFIXES | _UNREAD.keys()
"""Suffixes that are EEG wherever they stand, formats among them that are known and not read."""


def format_of(path: Path) -> str | None:
    """Name of the format in which `path` would be read; None for a file that is no recording.

    Decides by suffix, and for suffixes that say little by what the file begins with.
    """
    kind = _format(path)
    return kind.name if kind else None


def is_recording(path: Path) -> bool:
    """Whether `read` has a reader for this file; says nothing about whether it is intact."""
    return _format(path) is not None


def read(path: Path, *, unit_scale: float = 1.0) -> Recording:
    """Open one recording; its samples may stay in the file until they are asked for.

    Args:
        path: The file; for BrainVision its ``.vhdr``.
        unit_scale: What the file's amplitudes are multiplied with, for data sets whose unit is known to be stated
            wrongly.

    Raises:
        ReadError: If the file is not a supported format, damaged, truncated, unreadable or not EEG.
    """
    try:
        kind = _format(path)
        opened = isolated_reader.open_apart(path) if kind is not None and kind.fragile else open_here(path)
        return opened.scaled(unit_scale)
    except OSError as error:
        raise unreadable(path, error.strerror or type(error).__name__) from None


def open_here(path: Path) -> Recording:
    """Open a recording in this process, come what may: `read` without its precautions."""
    kind = _format(path)
    if kind is None:
        raise _unsupported(path)
    recording = kind.read(path)
    return recording if recording.unit else replace(recording, unit=kind.unit)


def content_files(path: Path) -> tuple[Path, ...]:
    """All files that make up the recording, `path` first where it is one.

    Raises:
        ReadError: If a BrainVision header names a file that is not there.
    """
    kind = _format(path)
    return kind.content_files(path) if kind else (path,)


def _format(path: Path) -> Format | None:
    suffix = path.suffix.lower()
    return next(
        (kind for kind in FORMATS if suffix in kind.suffixes and (kind.recognises is None or kind.recognises(path))),
        None,
    )


def _unsupported(path: Path) -> ReadError:
    known = _UNREAD.get(path.suffix.lower())
    what = f"{path.suffix or 'a file without suffix'}{f' ({known})' if known else ''}"
    return ReadError(
        f"{what} is not a format that is read here",
        reason=Reason.UNSUPPORTED,
        file=path.name,
        remedy="Export it to EDF+, BDF or BrainVision",
    )
