"""Formats of EEG without a reader: their files are quarantined by name, with a remedy, instead of being passed over."""

import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from labram.errors import ReadError, Reason

BY_SUFFIX: Mapping[str, str] = {
    ".21e": "Nihon Kohden electrodes without their recording",
    ".acq": "BIOPAC AcqKnowledge",
    ".ades": "AnyWave",
    ".amrk": "BrainVision markers without their header",
    ".bdf+": "BDF+ under another suffix",
    ".besa": "BESA",
    ".bni": "Nicolet BMSI",
    ".cdp": "compressed Curry",
    ".continuous": "Open Ephys",
    ".e": "Nicolet (since 2010)",
    ".easy": "Neuroelectrics, as text",
    ".ebm": "Embla",
    ".ebs": "EBS",
    ".edf+": "EDF+ under another suffix",
    ".edfz": "compressed EDF",
    ".eeg": "BrainVision samples without their header, or of another recorder",
    ".erd": "Natus",
    ".ez3": "Cadwell Easy III",
    ".fdt": "EEGLAB samples without their .set",
    ".fsg": "BESA",
    ".hea": "WFDB",
    ".lvm": "LabVIEW",
    ".m00": "Nihon Kohden, as text",
    ".mef": "MEF 2",
    ".mefd": "MEF 3",
    ".mul": "BESA, as text",
    ".ncs": "Neuralynx",
    ".nev": "Blackrock",
    ".nrd": "Neuralynx",
    ".ns1": "Blackrock",
    ".ns2": "Blackrock",
    ".ns3": "Blackrock",
    ".ns4": "Blackrock",
    ".ns5": "Blackrock",
    ".ns6": "Blackrock",
    ".nwb": "Neurodata Without Borders",
    ".nxe": "Nexstim eXimia",
    ".oebin": "Open Ephys",
    ".otb+": "Bioelettronica",
    ".ov": "OpenViBE",
    ".plx": "Plexon",
    ".pnt": "Nihon Kohden patient without the recording",
    ".poly5": "TMSi",
    ".rda": "R data",
    ".rhd": "Intan",
    ".rhs": "Intan",
    ".rs3": "Curry sensors without their recording",
    ".sev": "Tucker-Davis",
    ".sig": "Stellate Harmonie",
    ".smr": "Spike2",
    ".smrx": "Spike2",
    ".tdms": "LabVIEW",
    ".tev": "Tucker-Davis",
    ".trc": "Micromed",
    ".tsq": "Tucker-Davis",
    ".vmrk": "BrainVision markers without their header",
    ".xdfz": "compressed XDF",
}
"""Suffixes of recordings alone."""
HEADERS_OF: Mapping[str, tuple[str, ...]] = {
    ".21e": (".eeg",),
    ".dat": (".vhdr", ".ahdr", ".lay", ".dap", ".hea"),
    ".amrk": (".ahdr", ".vhdr"),
    ".eeg": (".vhdr", ".ahdr"),
    ".fdt": (".set",),
    ".pnt": (".eeg",),
    ".rs3": (".dap",),
    ".vmrk": (".vhdr", ".ahdr"),
}
"""Suffixes of files that accompany a recording, with those of the file that is read."""
_DESCRIBE = "Describe it in a dataset.yaml (`labram datasets init` drafts it), or export it to EDF+, BDF or BrainVision"
_REMEDIES = {
    ".h5": _DESCRIBE,
    ".hdf5": _DESCRIBE,
    ".mat": _DESCRIBE,
    ".easy": "Use the .nedf file of the same recording, or export EDF with the vendor's software",
    ".bdf+": "Rename it to .bdf",
    ".dat": "Put its header (.vhdr, .lay, .dap) beside it, or export it to EDF+, BDF or BrainVision",
    ".edf+": "Rename it to .edf",
    ".edfz": "Unpack it",
    ".fdt": "Put the .set file beside it",
    ".vmrk": "Put the .vhdr header and the samples beside it",
    ".eeg": "Put its .vhdr header beside it, or export it to EDF+, BDF or BrainVision with the vendor's software",
    ".hea": "Convert it to EDF with `wfdb.io.convert.edf.wfdb_to_edf` (Python) or `mit2edf`",
    ".nwb": "Export the electrical series to EDF+, BDF or BrainVision",
    ".xdfz": "Unpack it to .xdf",
}
CONTAINERS = (".mat", ".dat", ".hdf5", ".h5")
"""Suffixes of anything; `recognises` looks at the content."""
_RATES = re.compile(
    rb"\b(fsample|srate|sfreq|sample_?rate|sampling_?(rate|freq(uency)?))\b|\0fs\0{8}|^.{32,64}\0fs\0{2}",
    re.IGNORECASE | re.DOTALL,
)
"""Names of sampling rates. The short one is a field, padded with NUL, or the name of a variable, near its start."""
_HEAD_BYTES, _MOST_VARIABLES = 1 << 14, 256
_MATLAB, _HDF5, _BCI2000 = b"MATLAB 5.0", b"\x89HDF\r\n\x1a\n", (b"HeaderLen=", b"BCI2000V=")
_COMPRESSED = 15


def unsupported(path: Path, name: str = "") -> ReadError:
    """Return the error for a recording that no reader knows."""
    suffix = path.suffix.lower()
    name = name or BY_SUFFIX.get(suffix, "")
    return ReadError(
        f"unsupported format {path.suffix or 'without suffix'}{f' ({name})' if name else ''}",
        reason=Reason.UNSUPPORTED,
        file=path.name,
        remedy=_REMEDIES.get(suffix, "Export it to EDF+, BDF or BrainVision, with the vendor's software or in MATLAB"),
    )


def recognises(path: Path) -> bool:
    """Return whether a file of a general format holds a recording.

    A MATLAB file (FieldTrip, EEGLAB, a matrix with its rate) does if it has a variable, or a field of a structure, that
    is named as a sampling rate; BCI2000's have a signature.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(_BCI2000):
        return True
    if head.startswith(_MATLAB):
        return any(map(_RATES.search, _variables(path)))
    if path.suffix.lower() == ".dat":
        return False
    return (head.startswith(_HDF5) or head[512:].startswith(_HDF5)) and _RATES.search(head) is not None


def read(path: Path) -> NoReturn:
    """Raise the error for a general format.

    Raises:
        ReadError: UNSUPPORTED, always.
    """
    raise unsupported(path, "BCI2000" if path.suffix.lower() == ".dat" else "a structure of MATLAB or HDF5")


COPIES = (
    ".!qb", ".!ut", ".aria2", ".bak", ".crdownload", ".download", ".filepart", ".old", ".opdownload", ".orig", ".part",
    ".partial", ".tmp",
)  # fmt: skip
"""Suffixes of unfinished downloads and of backups, after that of the file."""
_SIGNATURES = (
    b"0       ", b"\xffBIOSEMI", b"GDF ", b"XDF:", b"Brain Vision Data Exchange Header", b"Version 3.0",
    b"\0\0\0\x64\0\0\0\x1f\0\0\0\x14",
)  # fmt: skip
"""Beginnings of EDF, BDF, GDF, XDF, BrainVision, Neuroscan and FIF files."""
_EDF_SIZE = re.compile(rb"\d+ *")


def read_copy(path: Path) -> NoReturn:
    """Raise the error for an unfinished download or a backup.

    Raises:
        ReadError: UNSUPPORTED, always.
    """
    raise ReadError(
        "an unfinished download or a backup of a recording",
        reason=Reason.UNSUPPORTED,
        file=path.name,
        remedy="Finish the download or rename the file; if the recording is beside it, delete the file",
    )


def has_signature(path: Path) -> bool:
    """Return whether a file begins as a recording, whatever its name says."""
    with path.open("rb") as file:
        head = file.read(256)
    return head.startswith(_SIGNATURES) and (head[:1] != b"0" or _EDF_SIZE.fullmatch(head[184:192]) is not None)


def read_renamed(path: Path) -> NoReturn:
    """Raise the error for a recording without the suffix of its format.

    Raises:
        ReadError: UNSUPPORTED, always.
    """
    raise ReadError(
        "a recording under another suffix",
        reason=Reason.UNSUPPORTED,
        file=path.name,
        remedy="Give it the suffix of its format, such as .edf; if it is a copy, delete it",
    )


def is_binary(path: Path) -> bool:
    """Return whether a file begins with other bytes than text."""
    with path.open("rb") as file:
        return b"\0" in file.read(_HEAD_BYTES)


def read_headless(path: Path) -> NoReturn:
    """Raise the error for samples without their header.

    Raises:
        ReadError: UNSUPPORTED, always.
    """
    raise unsupported(path, "samples of BrainVision, Persyst, Curry or WFDB without their header, or other data")


def _variables(path: Path) -> Iterator[bytes]:
    """Yield the beginning of each variable of a MATLAB 5 file, which has its name and the names of its fields."""
    size, position = path.stat().st_size, 128
    with path.open("rb") as file:
        file.seek(124)
        order = "little" if file.read(4)[2:] == b"IM" else "big"
        for _ in range(_MOST_VARIABLES):
            file.seek(position)
            tag = file.read(8)
            kind, length = (int.from_bytes(tag[at : at + 4], order) for at in (0, 4))  # type: ignore[arg-type]
            if len(tag) < 8 or position + 8 + length > size:
                return
            content = file.read(min(length, _HEAD_BYTES))
            try:
                unpack = zlib.decompressobj()
                yield unpack.decompress(content, _HEAD_BYTES) if kind == _COMPRESSED else content
            except zlib.error:
                return
            position += 8 + length
