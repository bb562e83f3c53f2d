"""Patient, device and start time in the header of a file, for hashing only: they tell whose recordings belong together.

`read` opens no other field and never fails: what cannot be read, or is a known stand-in for a removed name, is absent.

Sources: EDF+ (https://www.edfplus.info/specs/edfplus.html), GDF 2.51 (arXiv:cs/0608052), BrainVision Core Data Format
1.0, MNE's readers of FIF and Neuroscan CNT.
"""

import gzip
import re
import struct
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import UTC, datetime, timedelta
from pathlib import Path

from labram.signals.readers.compressed import inner_suffix
from labram.signals.readers.header_text import decode, field

_EDF_FIXED, _GDF_FIXED, _CNT_FIXED, _TEXT_BYTES = 256, 256, 260, 1 << 20
_MATLAB_EPOCH = 719_529
"""Days from the year 0 to 1970."""
_STAND_INS = re.compile(
    r"x+|0+|anon\w*|unknown|patient\w*|subject|name|surname|test|none|na|n/a|null|no|noname|deident\w*|id|male|female|m|f"
    r"|(fe)?male_?\d+\w*|default|user|\W*"
)
_EDF_VERSIONS = (b"0", b"\xffBIOSEMI")
_EDF_FIELDS, _EQUIPMENT = 4, 4
_NEW_SEGMENT = re.compile(r"^Mk\d+=New Segment,[^,]*,1,[^,]*,[^,]*,(\d{14})", re.MULTILINE)
_MARKER_FILE = re.compile(r"^MarkerFile=(.+)$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Origin:
    """What a header states; it must not be stored, logged or printed.

    Attributes:
        patient: Code and name, normalised; empty: not stated.
        device: Equipment; empty: not stated.
        started: Seconds since 1970 of the recorder's clock; None: not stated.
    """

    patient: str = attribute(default="", repr=False)
    device: str = attribute(default="", repr=False)
    started: float | None = attribute(default=None, repr=False)


def read(path: Path) -> Origin:
    """Return what the header of a file states; an empty origin for other formats and unreadable files."""
    reader = _READERS.get(inner_suffix(path) or path.suffix.lower())
    try:
        return reader(path) if reader else Origin()
    except Exception:  # header fields may hold anything, and the recording itself is read elsewhere
        return Origin()


def normalise(patient: str) -> str:
    """Return the words of a patient field in one spelling; empty if all of them stand for a removed name."""
    words = re.split(r"[\s,;^]+", unicodedata.normalize("NFKC", patient).casefold().replace("\0", " ").strip())
    kept = [word for word in words if not _STAND_INS.fullmatch(word)]
    return " ".join(sorted(kept))


def _edf(path: Path) -> Origin:
    fixed = _head(path, _EDF_FIXED)
    if fixed[:8].rstrip(b" \0") not in _EDF_VERSIONS:
        return Origin()
    patient, recording = (decode(fixed[start : start + 80]).strip() for start in (8, 88))
    device = ""
    if fixed[192:196] in (b"EDF+", b"BDF+"):
        words = patient.split()
        patient = " ".join((*words[:1], *words[_EDF_FIELDS - 1 :]))  # without sex and date of birth
        device = "".join(recording.split()[_EQUIPMENT : _EQUIPMENT + 1])
    date = re.sub(r"\D", ".", fixed[168:184].decode("latin1")[:8]) + " " + fixed[176:184].decode("latin1")
    return Origin(normalise(patient), device, _seconds(date, "%d.%m.%y %H.%M.%S"))


def _gdf(path: Path) -> Origin:
    fixed = _head(path, _GDF_FIXED)
    second = float(fixed[4:8]) >= 1.9
    patient = decode(fixed[8 : 74 if second else 88])
    if not second:
        return Origin(normalise(patient), "", _seconds(fixed[168:182].decode("latin1"), "%Y%m%d%H%M%S"))
    return Origin(normalise(patient), "", _since_year_0(fixed[168:176]))


def _cnt(path: Path) -> Origin:
    fixed = _head(path, _CNT_FIXED)
    if len(fixed) < _CNT_FIXED:
        return Origin()
    patient = " ".join(field(fixed[start : start + 20]) for start in (21, 121))
    date = f"{fixed[225:235].decode('latin1')[:8]} {fixed[235:243].decode('latin1')}"
    return Origin(normalise(patient), "", _seconds(date, "%m/%d/%y %H:%M:%S"))


def _brainvision(path: Path) -> Origin:
    named = _MARKER_FILE.search(_head(path, _TEXT_BYTES).decode("utf-8", "replace"))
    markers = path.with_name(named[1].strip()) if named else path.with_suffix(".vmrk")
    if markers.parent != path.parent or not markers.is_file():
        markers = path.with_suffix(".vmrk")
    segment = _NEW_SEGMENT.search(_head(markers, _TEXT_BYTES).decode("utf-8", "replace"))
    return Origin("", "", _seconds(segment[1], "%Y%m%d%H%M%S") if segment else None)


def _fif(path: Path) -> Origin:
    import mne

    from labram.signals.readers.with_mne import quiet

    with quiet():
        info = mne.io.read_info(path, verbose="CRITICAL")
    subject = info["subject_info"] or {}
    patient = " ".join(str(subject[key]) for key in ("his_id", "last_name", "first_name") if subject.get(key))
    device = str((info["device_info"] or {}).get("serial", ""))
    return Origin(normalise(patient), device, _stated(info["meas_date"]) if info["meas_date"] else None)


_READERS: Mapping[str, Callable[[Path], Origin]] = {
    ".edf": _edf, ".bdf": _edf, ".rec": _edf, ".gdf": _gdf, ".cnt": _cnt, ".vhdr": _brainvision, ".fif": _fif,
}  # fmt: skip


def _head(path: Path, size: int) -> bytes:
    opener = gzip.open if inner_suffix(path) else open
    with opener(path, "rb") as file:
        return file.read(size)


def _seconds(text: str, pattern: str) -> float | None:
    """Return seconds since 1970; None if the text is no date, which says nothing about the patient."""
    try:
        return _stated(datetime.strptime(text.strip(), pattern).replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None


def _since_year_0(field: bytes) -> float | None:
    """Return seconds since 1970 of GDF 2's days, in 32.32 fixed point; None if they are no date."""
    try:
        days = struct.unpack("<Q", field)[0] / 2**32 - _MATLAB_EPOCH
        return _stated(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days))
    except (struct.error, ValueError, OverflowError):
        return None


def _stated(started: datetime) -> float | None:
    """Return seconds since 1970; None at midnight or on a first of January, which stand for a removed date."""
    if (started.hour, started.minute, started.second) == (0, 0, 0) or (started.month, started.day) == (1, 1):
        return None
    return started.timestamp()
