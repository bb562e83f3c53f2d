"""Readers of all supported formats. Only this package parses headers; their other fields never leave it.

`read` returns signals in µV, labels, sampling rate and events. Every defect of a file raises `ReadError` with a reason
code; its text has the file's name and never text from the file. docs/formats.md lists all formats and reasons.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from labram.errors import ReadError
from labram.signals.readers import (
    ant,
    arff,
    brainvision,
    compressed,
    curry,
    edf,
    eeglab,
    egi,
    enobio,
    fif,
    fif_parts,
    gdf,
    isolated_reader,
    muse,
    muse_monitor,
    neuroscan,
    nicolet,
    nihon_kohden,
    persyst,
    smni,
    text,
    unsupported,
    xdf,
)
from labram.signals.readers.acquisition_gaps import with_unknown_gaps
from labram.signals.readers.companions import with_suffix
from labram.signals.readers.errors import unreadable
from labram.signals.readers.fif import read_events
from labram.signals.readers.fif_parts import is_later_part
from labram.signals.readers.placeholders import require_content
from labram.signals.recording import Recording

__all__ = [
    "COMPANIONS",
    "EEG_SUFFIXES",
    "FORMATS",
    "SHARED_SUFFIXES",
    "Format",
    "content_files",
    "format_of",
    "has_header",
    "is_compressed",
    "is_copy",
    "is_later_part",
    "is_recording",
    "read",
    "read_events",
    "require_content",
]


_TABLES = (".arff", ".asc", ".csv", ".tsv", ".txt")


def _alone(path: Path) -> tuple[Path, ...]:
    return (path,)


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        name: Name of the format.
        suffixes: Suffixes in lower case.
        read: Opens a recording.
        recognises: Returns whether a file with such a suffix has this format; None if the suffix is sufficient.
        content_files: Returns all files of a recording, the given one first.
        unit: Unit of the values, if the format defines it.
        fragile: Whether a damaged file can crash the library that reads it (see `.isolated_reader`).
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Path], Recording]
    recognises: Callable[[Path], bool] | None = None
    content_files: Callable[[Path], tuple[Path, ...]] = _alone
    unit: str = ""
    fragile: bool = False


def is_compressed(path: Path) -> bool:
    """Return whether the name is that of a compressed recording, such as ``a.edf.gz``."""
    return compressed.inner_suffix(path) in EEG_SUFFIXES | {".rec"}


def _is_headless(path: Path) -> bool:
    return unsupported.is_binary(path) and not has_header(path)


def _is_compressed_text(path: Path) -> bool:
    """Return whether the beginning of a compressed table would be recognised as a recording."""
    if path.suffix.lower() not in compressed.STREAMS or compressed.inner_suffix(path) not in _TABLES:
        return False
    with compressed.beginning(path) as table:
        return _is_table(table, compressed.inner_suffix(path))


def _is_table(path: Path, suffix: str) -> bool:
    formats = [file_format.recognises for file_format in FORMATS if suffix in file_format.suffixes]
    return any(recognises(path) for recognises in formats if recognises)


def is_copy(path: Path) -> bool:
    """Return whether the name is that of an unfinished download or a backup, such as ``a.edf.part``."""
    return path.suffix.lower() in unsupported.COPIES and Path(path.stem).suffix.lower() in EEG_SUFFIXES


def _holds_recordings(path: Path) -> bool:
    """Return whether an archive has recordings, tables of samples or archives that are not unpacked beside it.

    One that cannot be looked into might have.
    """
    suffix = path.suffix.lower()
    if suffix in compressed.OPAQUE:
        return not path.with_suffix("").exists()
    if suffix in compressed.STREAMS and Path(path.stem).suffix.lower() != ".tar":
        return False
    places = (path.parent, path.with_suffix(""), path.with_name(f"{path.name}.unzip"))  # the last as Pooch does
    packed = [Path(name) for name in compressed.archived(path) if not any((at / name).exists() for at in places)]
    if any(_may_be_recording(name) for name in packed):
        return True
    tables = {name.suffix.lower() for name in packed} & set(_TABLES)
    return any(
        _is_table(table, suffix) for suffix in sorted(tables) for table in compressed.archived_tables(path, {suffix})
    )


def _may_be_recording(name: Path) -> bool:
    archive = name.suffix.lower() in compressed.ARCHIVES and name.suffix.lower() not in compressed.STREAMS
    return name.suffix.lower() in EEG_SUFFIXES or is_compressed(name) or is_copy(name) or archive


FORMATS = (
    Format("EDF", (".edf",), edf.read),
    Format("BDF", (".bdf",), edf.read),
    Format("EDF", (".rec",), edf.read, edf.recognises),
    Format("GDF", (".gdf",), gdf.read),
    Format("FIF", (".fif",), fif.read, lambda path: not fif.is_events(path), fif_parts.content_files, unit="V"),
    Format("BrainVision", brainvision.HEADERS, brainvision.read, content_files=brainvision.content_files),
    Format("EEGLAB", (".set",), eeglab.read, content_files=eeglab.content_files, unit="µV", fragile=True),
    Format("Persyst", (".lay",), persyst.read, content_files=persyst.content_files),
    Format("Curry", (".cdt", ".dap"), curry.read, content_files=curry.content_files),
    Format("Neuroelectrics NEDF", (".nedf",), enobio.read),
    Format(
        "Nihon Kohden", (".eeg",), nihon_kohden.read, nihon_kohden.recognises, nihon_kohden.content_files, fragile=True
    ),
    Format("Neuroscan epochs", (".eeg", ".avg"), neuroscan.read_epochs, neuroscan.recognises_epochs),
    Format("ANT CNT", (".cnt",), ant.read, ant.recognises, ant.content_files, fragile=True),
    Format("Neuroscan CNT", (".cnt",), neuroscan.read, unit="µV"),
    Format("EGI MFF", (".mff",), egi.read_mff, content_files=egi.mff_files),
    Format("EGI simple binary", (".raw",), egi.read_raw, egi.recognises_raw),
    Format("Nicolet", (".data",), nicolet.read, nicolet.recognises, nicolet.content_files),
    Format("XDF", (".xdf",), xdf.read),
    Format("Emotiv ARFF", (".arff",), arff.read, arff.recognises),
    Format("MuseLSL CSV", (".csv",), muse.read, muse.recognises, unit="µV"),
    Format("Muse Monitor CSV", (".csv",), muse_monitor.read, muse_monitor.recognises, unit="µV"),
    Format("UCI SMNI text", (".gz",), smni.read, smni.recognises, unit="µV"),
    Format("compressed", compressed.SUFFIXES, compressed.read, is_compressed),
    Format("archive", compressed.ARCHIVES, compressed.read, _holds_recordings),
    Format("unfinished copy", unsupported.COPIES, unsupported.read_copy, is_copy),
    Format("MATLAB or HDF5", unsupported.CONTAINERS, unsupported.read, unsupported.recognises),
    Format("text of samples", (".txt", ".csv", ".tsv", ".asc", ".dat"), text.read, text.recognises),
    Format("samples without a header", (".dat",), unsupported.read_headless, _is_headless),
    Format("compressed text of samples", tuple(compressed.STREAMS), compressed.read, _is_compressed_text),
)
"""In the order in which they are tried."""

_RENAMED = Format("a recording under another name", (), unsupported.read_renamed, unsupported.has_signature)

SHARED_SUFFIXES = frozenset(
    {".rec", ".raw", ".data", ".avg", ".arff", ".csv", ".txt", ".tsv", ".asc"}
    | {*compressed.SUFFIXES, *compressed.ARCHIVES, *unsupported.CONTAINERS, *unsupported.COPIES}
)
"""Ambiguous suffixes: such a file is EEG only if one of the formats recognises it."""

EEG_SUFFIXES = (
    frozenset(suffix for file_format in FORMATS for suffix in file_format.suffixes) - SHARED_SUFFIXES
    | unsupported.BY_SUFFIX.keys()
)
"""Suffixes that always mean EEG, including those of unsupported formats."""

COMPANIONS = frozenset(unsupported.HEADERS_OF)
"""Suffixes of files that accompany a recording; one without its header is named, or read (Nihon Kohden's `.eeg`)."""


def format_of(path: Path) -> str | None:
    """Return the name of the format of `path`, by suffix and, if ambiguous, content; None if it is no recording."""
    file_format = _format(path)
    return file_format.name if file_format else None


def is_recording(path: Path) -> bool:
    """Return whether `read` has a reader for this file, which may still be damaged."""
    return _format(path) is not None


def read(path: Path, *, unit_scale: float = 1.0) -> Recording:
    """Open a recording; its samples may be read on demand.

    Args:
        path: The file; for BrainVision its ``.vhdr``.
        unit_scale: Factor for all amplitudes, for datasets that state a wrong unit.

    Raises:
        ReadError: If the file has no supported format, is damaged, truncated, unreadable or not EEG.
    """
    try:
        require_content(path)
        require_content(path, *content_files(path))
        file_format = _format(path)
        fragile = file_format is not None and file_format.fragile
        opened = isolated_reader.open_isolated(path) if fragile else open_here(path)
        return opened.scaled(unit_scale)
    except OSError as error:
        raise unreadable(path, error.strerror or type(error).__name__) from None


def open_here(path: Path) -> Recording:
    """Open a recording in this process, without isolation."""
    file_format = _format(path)
    if file_format is None:
        raise unsupported.unsupported(path)
    recording = with_unknown_gaps(file_format.read(path))
    return recording if recording.unit else replace(recording, unit=file_format.unit)


def has_header(path: Path) -> bool:
    """Return whether a file of `COMPANIONS` has its header in the same folder: of the same name, or naming it."""
    suffixes = unsupported.HEADERS_OF[path.suffix.lower()]
    if any(with_suffix(path, suffix) for suffix in suffixes):
        return True
    folder = path.parent
    headers = tuple(
        (other, other.lstat().st_mtime_ns) for other in sorted(folder.iterdir()) if other.suffix.lower() in suffixes
    )
    return bool(headers) and path in _named(headers, folder.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _named(headers: tuple[tuple[Path, int], ...], changed: int) -> frozenset[Path]:
    """Return the files that headers name; they are read once, however many files of their folder are asked for."""
    del changed
    named: set[Path] = set()
    for header, _ in headers:
        with suppress(OSError, ReadError):
            named.update(content_files(header))
    return frozenset(named)


def content_files(path: Path) -> tuple[Path, ...]:
    """Return all files of a recording, `path` first unless it is a folder.

    Raises:
        ReadError: If a file that belongs to the recording is missing, or outside its folder.
    """
    file_format = _format(path)
    return file_format.content_files(path) if file_format else (path,)


def _format(path: Path) -> Format | None:
    suffix = path.suffix.lower()
    opened = path.is_file() or not path.exists()  # not a pipe or a device
    by_suffix = (
        file_format
        for file_format in FORMATS
        if suffix in file_format.suffixes
        and (file_format.recognises is None or (opened and file_format.recognises(path)))
    )
    found = next(by_suffix, None)
    if found is None and suffix not in EEG_SUFFIXES and path.is_file() and unsupported.has_signature(path):
        return _RENAMED
    return found
