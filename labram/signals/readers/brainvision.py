"""BrainVision: a header (.vhdr), markers (.vmrk) and samples (.eeg or .dat).

Described in the "BrainVision Core Data Format 1.0" document of Brain Products.
"""

import re
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import mne

from labram.errors import ReadError, Reason
from labram.signals.readers.errors import epoched, truncated, unreadable
from labram.signals.readers.with_mne import open_raw, to_recording
from labram.signals.recording import Recording

MIN_POINTS_FRACTION = 0.95
_BY_CHANNEL = "VECTORIZED"
_NEW_SEGMENT = re.compile(r"^Mk\d+=New Segment,[^,]*,(\d+),\d+,\d+,(\d{20})\s*$", re.MULTILINE)
_SAMPLE_BYTES = {"INT_16": 2, "UINT_16": 2, "IEEE_FLOAT_32": 4}


def read(path: Path) -> Recording:
    """Read the recording that a ``.vhdr`` describes. The longest pause between its segments is told by their dates.

    Samples are kept when at least 95 % of those promised are there (note ``truncated_tail``).

    Raises:
        ReadError: EPOCHED for segments around markers and averages, NOT_EEG for spectra, TRUNCATED if the samples end
            within one or much too early, UNREADABLE if a part is missing or cannot be understood.
    """
    files = content_files(path)
    header = _header(path)
    _refuse_other_content(path, header)
    notes = _completeness(path, header, files[1].stat().st_size)
    recording = to_recording(path, open_raw(path, mne.io.read_raw_brainvision), notes=notes)
    markers = files[2].read_text("latin1") if len(files) > 2 else ""
    return replace(recording, gap_seconds=_longest_pause(markers, recording.sfreq))


def content_files(path: Path) -> tuple[Path, ...]:
    """The header, the sample file and, where there is one, the marker file.

    Raises:
        ReadError: If a file that the header names is not beside it.
    """
    header = _header(path)
    files = [path]
    for key in ("DataFile", "MarkerFile"):
        name = _value(header, key)
        if name is None and key == "DataFile":
            raise unreadable(path, "no DataFile entry")
        if name is None:
            continue
        # $b stands for the header's own name; a name with folders in it is taken from beside the header all the same.
        part = path.parent / name.replace("$b", path.stem).replace("\\", "/").rsplit("/", 1)[-1]
        if not part.is_file():
            raise ReadError(
                f"its {key} is not beside it",
                reason=Reason.UNREADABLE,
                file=path.name,
                field=key,
                remedy="Put the .vhdr, .vmrk and .eeg files of a recording into one folder",
            )
        files.append(part)
    return tuple(files)


def _header(path: Path) -> str:
    text = path.read_bytes().decode("latin1")
    if "brain vision" not in text[:200].lower() and "brainvision" not in text[:200].lower():
        raise unreadable(path, "no BrainVision signature")
    return text


def _value(header: str, key: str) -> str | None:
    match = re.search(rf"^{key}\s*=\s*(.*?)\s*$", header, re.MULTILINE | re.IGNORECASE)
    return match[1] if match and match[1] else None


def _refuse_other_content(path: Path, header: str) -> None:
    segmented = (_value(header, "SegmentationType") or "").upper() in ("MARKERBASED", "FIXTIME")
    if segmented or (_value(header, "Averaged") or "").upper() == "YES":
        raise epoched(path)
    if (_value(header, "DataType") or "").upper().startswith("FREQUENCY"):
        raise ReadError(
            "holds spectra and no signals",
            reason=Reason.NOT_EEG,
            file=path.name,
            field="DataType",
            remedy="Export the recording that they were computed of",
        )


def _completeness(path: Path, header: str, size: int) -> tuple[str, ...]:
    width = _SAMPLE_BYTES.get((_value(header, "BinaryFormat") or "").upper())
    channels, promised = (_value(header, key) or "" for key in ("NumberOfChannels", "DataPoints"))
    if not width or not channels.isdecimal() or not int(channels):
        return ()
    points, rest = divmod(size, width * int(channels))
    if rest:
        raise truncated(path, "the sample file ends within a sample")
    if not promised.isdecimal() or points >= int(promised):
        return ()
    if points < MIN_POINTS_FRACTION * int(promised) or (_value(header, "DataOrientation") or "").upper() == _BY_CHANNEL:
        raise truncated(path, f"ends early: {points} of {promised} samples are there")
    return ("truncated_tail",)


def _longest_pause(markers: str, rate: float) -> float:
    """Between segments: the time by their dates, beyond that of the samples between them."""
    try:
        segments = [
            (int(place) / rate, datetime.strptime(date, "%Y%m%d%H%M%S%f"))
            for place, date in _NEW_SEGMENT.findall(markers)
        ]
    except ValueError:  # dates that were blanked say nothing
        return 0.0
    pauses = [
        (later - earlier).total_seconds() - (stop - start) for (start, earlier), (stop, later) in pairwise(segments)
    ]
    longest = max(pauses, default=0.0)
    return round(longest, 6) if longest * rate > 1 else 0.0
