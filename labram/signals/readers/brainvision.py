"""BrainVision: a header (.vhdr), markers (.vmrk) and samples (.eeg or .dat); of a V-Amp, also .ahdr and .amrk.

Described in the "BrainVision Core Data Format 1.0" document of Brain Products.
"""

import codecs
import re
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mne

from labram.errors import ReadError, Reason
from labram.scratch_folder import prefix
from labram.signals.readers.companions import find_beside, with_suffix
from labram.signals.readers.errors import epoched, outside, truncated, unreadable
from labram.signals.readers.limits import read_bytes
from labram.signals.readers.units import microvolts, of_electrodes
from labram.signals.readers.with_mne import open_raw, to_recording
from labram.signals.recording import UNITS, Recording

MIN_POINTS_FRACTION = 0.95
HEADERS = (".vhdr", ".ahdr")
_BY_CHANNEL = "VECTORIZED"
_NEW_SEGMENT = re.compile(r"^Mk\d+=New Segment,[^,]*,(\d{1,18}),\d+,\d+,(\d{20})\s*$", re.MULTILINE)
_SEGMENT = re.compile(r"^Mk\d+=New Segment,", re.MULTILINE)
_CHANNEL_INFOS = re.compile(r"^\[Channel Infos\].*?(?=^\[|\Z)", re.MULTILINE | re.DOTALL | re.IGNORECASE)
_CHANNEL = re.compile(r"^(Ch(\d{1,9}))[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_DIGITS, _DECIMALS = re.compile(r"\d+"), re.compile(r"\d+(?:[eE][+-]?\d+)?")
_MOST_DIGITS = 18
_SAMPLE_BYTES = {"INT_16": 2, "UINT_16": 2, "IEEE_FLOAT_32": 4}


def read(path: Path) -> Recording:
    """Read the recording of a ``.vhdr`` header.

    The dates of its segments determine `Recording.gap_seconds`; it is None without markers or dates.

    A recording with at least 95 % of the announced samples is kept (note ``truncated_tail``). A channel without a unit
    is in µV, as the format defines; so is assumed for one of an unknown unit (note ``unit_not_stated``).

    Raises:
        ReadError: EPOCHED for epochs and averages, UNSUPPORTED for big-endian samples, NOT_EEG for spectra, TRUNCATED
            if more samples or part of a sample are missing, OUTSIDE if a file is in another folder, UNREADABLE if one
            is missing or malformed.
    """
    files = content_files(path)
    header = _header(path)
    _require_continuous(path, header)
    notes = _completeness(path, header, files[1].stat().st_size)
    if any(_named(path, header, key) is None for key in ("DataFile", "MarkerFile") if _value(header, key)):
        notes = (*notes, "files_renamed")
    markers = _decoded(read_bytes(files[2])) if len(files) > 2 else ""
    header, units = _with_known_units(header)
    recording = to_recording(path, _open(path, header, files[1], markers), notes=notes)
    unit, unit_notes = of_electrodes(
        recording.channels, [units.get(index, 1.0) for index in range(len(recording.channels))]
    )
    gap_seconds = _longest_gap(markers, recording.sfreq) if markers else None
    return replace(recording, gap_seconds=gap_seconds, notes=(*recording.notes, *unit_notes), unit=unit)


def content_files(path: Path) -> tuple[Path, ...]:
    """Return the header, the sample file and, if there is one, the marker file.

    Raises:
        ReadError: OUTSIDE if the header names a file in another folder, UNREADABLE if one is not beside it.
    """
    header = _common_infos(_header(path))
    files = [path]
    for key in ("DataFile", "MarkerFile"):
        name = _value(header, key)
        if name is None and key == "DataFile":
            raise unreadable(path, "no DataFile entry")
        if name is None:
            continue
        if (path.parent / name.replace("\\", "/")).parent != path.parent:
            raise outside(path, f"the {key}")
        part = _named(path, header, key) or _of_same_name(path, key)
        if part is None:
            raise ReadError(
                f"{key} is not beside the header",
                reason=Reason.UNREADABLE,
                file=path.name,
                field=key,
                remedy="Put the .vhdr, .vmrk and .eeg files of a recording into one folder",
            )
        files.append(part)
    return tuple(files)


def _named(path: Path, header: str, key: str) -> Path | None:
    """Return the file that the header names; `$b` stands for its base name."""
    name = Path((_value(header, key) or "").replace("$b", path.stem).replace("\\", "/")).name
    return find_beside(path, name) if name else None


def _of_same_name(path: Path, key: str) -> Path | None:
    """Return the file with the header's own name, for a recording that was renamed without the names inside."""
    suffixes = (".eeg", ".dat") if key == "DataFile" else (".vmrk", ".amrk")
    return next(filter(None, (with_suffix(path, suffix) for suffix in suffixes)), None)


def _open(path: Path, header: str, samples: Path, markers: str) -> Any:
    """Open with MNE, which needs exact names and UTF-8: it gets a copy of the header and of the markers."""
    with TemporaryDirectory(prefix=prefix()) as name:
        folder = Path(name)
        link = folder / f"samples{samples.suffix.lower()}"
        link.symlink_to(samples.absolute())
        interval = (_value(header, "SamplingInterval") or "").replace(",", ".")
        names = {
            "DataFile": link.name, "MarkerFile": "markers.vmrk", "Codepage": "UTF-8", "SamplingInterval": interval,
        }  # fmt: skip
        header_name = "header.ahdr" if _is_v_amp(header) else "header.vhdr"
        for file, text in ((header_name, header), ("markers.vmrk", markers)):
            for key, value in names.items():
                text = re.sub(rf"^{key}\s*=.*$", f"{key}={value}", text, flags=re.MULTILINE | re.IGNORECASE)
            if not re.search(r"^Codepage=", text, re.MULTILINE):
                text = text.replace("[Common Infos]", "[Common Infos]\nCodepage=UTF-8", 1)
            (folder / file).write_text(text, encoding="utf-8")
        try:
            raw = open_raw(folder / header_name, mne.io.read_raw_brainvision)
        except ReadError as error:
            error.file = path.name
            raise
        raw.filenames = [samples.absolute()]
    return raw


def _decoded(content: bytes) -> str:
    """Return text as UTF-8 if it is, else in the declared code page, else as Windows-1252 ("ANSI")."""
    declared = re.search(rb"^Codepage\s*=\s*([\w-]+)", content, re.MULTILINE | re.IGNORECASE)
    for encoding in ("utf-8-sig", declared[1].decode("ascii") if declared else "", "cp1252"):
        try:
            codecs.lookup(encoding)
            return content.decode(encoding).replace("\r\n", "\n")
        except (LookupError, UnicodeError):
            continue
    return content.decode("latin1").replace("\r\n", "\n")


def _header(path: Path) -> str:
    text = _decoded(read_bytes(path))
    if "brain vision" not in text[:200].lower() and "brainvision" not in text[:200].lower():
        raise unreadable(path, "no BrainVision signature")
    return text


def _is_v_amp(header: str) -> bool:
    """Whether a V-Amp wrote the samples, with a channel more than the header states."""
    return "v-amp" in header.partition("\n")[0].lower()


def _common_infos(header: str) -> str:
    """Return the section that names the other files; other sections may have entries of the same name."""
    match = re.search(r"^\[Common Infos\]\s*$(.*?)(?=^\[|\Z)", header, re.MULTILINE | re.DOTALL | re.IGNORECASE)
    return match[1] if match else header


def _value(header: str, key: str) -> str | None:
    match = re.search(rf"^{key}[ \t]*=[ \t]*(.*?)[ \t]*$", header, re.MULTILINE | re.IGNORECASE)
    return match[1] if match and match[1] else None


def _with_known_units(header: str) -> tuple[str, dict[int, float | None]]:
    """Return the header in MNE's spelling of units and numbers, and the factor to µV of each channel, by its index.

    MNE takes units of other spellings as V. A factor is None if the unit is none of voltage, which becomes µV.
    """
    units: dict[int, float | None] = {}

    def known(entry: re.Match[str]) -> str:
        name, reference, resolution, *others = (*entry[3].split(","), "", "", "")[: max(3, entry[3].count(",") + 1)]
        if others and _DIGITS.fullmatch(resolution.strip()) and _DECIMALS.fullmatch(others[0].strip()):
            resolution = f"{resolution.strip()}.{others.pop(0).strip()}"  # a decimal comma
        unit = others[0].strip() if others else ""
        factor = units[int(entry[2]) - 1] = microvolts(unit) if unit else 1.0
        return f"{entry[1]}={name},{reference},{resolution.strip()},{UNITS[factor or 1.0]}"

    return _CHANNEL_INFOS.sub(lambda section: _CHANNEL.sub(known, section[0]), header), units


def _require_continuous(path: Path, header: str) -> None:
    segmented = (_value(header, "SegmentationType") or "").upper() in ("MARKERBASED", "FIXTIME")
    if segmented or (_value(header, "Averaged") or "").upper() == "YES":
        raise epoched(path)
    if (_value(header, "UseBigEndianOrder") or "").upper() == "YES":  # MNE would read them as little-endian
        raise ReadError(
            "contains big-endian samples",
            reason=Reason.UNSUPPORTED,
            file=path.name,
            field="UseBigEndianOrder",
            remedy="Export it again as little-endian samples, or to EDF+",
        )
    if (_value(header, "DataType") or "").upper().startswith("FREQUENCY"):
        raise ReadError(
            "contains spectra instead of signals",
            reason=Reason.NOT_EEG,
            file=path.name,
            field="DataType",
            remedy="Export the continuous recording",
        )


def _completeness(path: Path, header: str, size: int) -> tuple[str, ...]:
    width = _SAMPLE_BYTES.get((_value(header, "BinaryFormat") or "").upper())
    channels, announced = (_count(path, header, key) for key in ("NumberOfChannels", "DataPoints"))
    if not width or not channels:
        return ()
    points, rest = divmod(size, width * (channels + _is_v_amp(header)))
    if rest:
        raise truncated(path, "the sample file ends within a sample")
    if announced is None or points >= announced:
        return ()
    if points < MIN_POINTS_FRACTION * announced or (_value(header, "DataOrientation") or "").upper() == _BY_CHANNEL:
        raise truncated(path, f"expected {announced} samples, got {points}")
    return ("truncated_tail",)


def _count(path: Path, header: str, key: str) -> int | None:
    """Return a whole number of the header; None if the entry is absent or no number."""
    text = _value(header, key) or ""
    if len(text) > _MOST_DIGITS:  # of thousands of digits, Python makes no number
        raise unreadable(path, f"{key} is no number of a recording")
    return int(text) if text.isdecimal() else None


def _longest_gap(markers: str, sfreq: float) -> float | None:
    """Return the longest gap between segments: the difference of their dates minus the duration of the samples.

    None if a segment after the first has no date.
    """
    if len(_SEGMENT.findall(markers)) > max(1, len(_NEW_SEGMENT.findall(markers))):
        return None
    try:
        segments = [
            (int(sample) / sfreq, datetime.strptime(date, "%Y%m%d%H%M%S%f"))
            for sample, date in _NEW_SEGMENT.findall(markers)
        ]
    except ValueError:  # anonymised dates
        return None if len(_SEGMENT.findall(markers)) > 1 else 0.0
    gaps = [
        (later - earlier).total_seconds() - (stop - start) for (start, earlier), (stop, later) in pairwise(segments)
    ]
    longest = max(gaps, default=0.0)
    return round(longest, 6) if longest * sfreq > 1 else 0.0
