"""Headers of EDF, EDF+ and BDF, with consistency checks.

Fields and their widths: https://www.edfplus.info/specs/edf.html and https://www.biosemi.com/faq/file_format.htm. Fields
with patient, technician or date are not read.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from labram.errors import ReadError, Reason
from labram.signals.readers.errors import unreadable
from labram.signals.readers.header_text import field
from labram.signals.readers.units import microvolts
from labram.signals.recording import UNITS

RATES_HZ = (1.0, 1e6)
"""Plausible sampling rates of EEG."""
ANNOTATION_LABELS = frozenset({"edf annotations", "bdf annotations"})

_SAMPLE_BYTES = {b"0": 2, b"\xffBIOSEMI": 3}
_FIXED_BYTES = 256
_WIDTHS = {
    "label": 16, "transducer": 80, "unit": 8, "physical_min": 8, "physical_max": 8, "digital_min": 8, "digital_max": 8,
    "prefilter": 80, "samples": 8, "reserved": 32,
}  # fmt: skip
_MICROVOLTS_RANGE = (1e-9, 1e9)
"""Plausible physical ranges; values outside it would become zeros or infinities."""


@dataclass(frozen=True)
class Channel:
    """One signal of a file.

    Attributes:
        label: Label in the file.
        samples: Samples per data record.
        start: Samples of other signals before it in a data record.
        gain: µV per digital step; NaN if the header has no valid scale.
        offset: µV at digital zero.
        unit: V, mV, µV or nV; empty if the header states no unit of voltage (µV is assumed).
    """

    label: str
    samples: int
    start: int
    gain: float
    offset: float
    unit: str

    @property
    def annotates(self) -> bool:
        """Whether it is an annotation signal."""
        return self.label.lower() in ANNOTATION_LABELS

    @property
    def scaled(self) -> bool:
        """Whether it has a valid scale."""
        return not math.isnan(self.gain)


@dataclass(frozen=True)
class Header:
    """Layout of a file.

    Attributes:
        size: Bytes before the first data record.
        records: Announced number of data records; -1 if the recorder did not close the file.
        record_seconds: Duration of a data record.
        sample_bytes: 2 in EDF, 3 in BDF.
        channels: All signals, including annotation signals.
        interrupted: Whether records may be discontinuous in time (EDF+D).
    """

    size: int
    records: int
    record_seconds: float
    sample_bytes: int
    channels: tuple[Channel, ...]
    interrupted: bool

    @property
    def record_bytes(self) -> int:
        """Size of a data record in bytes."""
        return sum(channel.samples for channel in self.channels) * self.sample_bytes


def read_header(path: Path) -> Header:
    """Read and check the header.

    Raises:
        ReadError: UNREADABLE if it is no such header or its fields are inconsistent; DAMAGED if it was copied as text;
            ANNOTATIONS_ONLY if there is no signal; NOT_EEG if no signal has a plausible sampling rate.
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        fixed = file.read(_FIXED_BYTES)
        sample_bytes = _SAMPLE_BYTES.get(fixed[:8].rstrip(b" \0"))
        if sample_bytes is None:
            raise text_copy(path) if _was_text(fixed) else unreadable(path, "no EDF or BDF signature")
        try:
            size, records, count = (_whole(fixed[at : at + width]) for at, width in ((184, 8), (236, 8), (252, 4)))
            record_seconds = _number(fixed[244:252])
            if size != _FIXED_BYTES * (count + 1) or count < 1 or records < -1 or records == 0:
                raise unreadable(path, "inconsistent header fields")
            channels = tuple(_channels(file.read(size - _FIXED_BYTES), count))
        except (ValueError, OverflowError):
            raise unreadable(path, "non-numeric header fields") from None
    if all(channel.annotates for channel in channels):
        raise ReadError(
            "has annotations and no signals",
            reason=Reason.ANNOTATIONS_ONLY,
            file=path.name,
            remedy="Keep it beside its recording; nothing is missing",
        )
    if not 0 < record_seconds < math.inf or min(channel.samples for channel in channels) < 1:
        raise unreadable(path, "inconsistent header fields")
    slowest, fastest = RATES_HZ
    if not any(slowest <= channel.samples / record_seconds <= fastest for channel in channels if not channel.annotates):
        raise ReadError(
            f"no signal with a sampling rate of {slowest:g} to {fastest:g} Hz",
            reason=Reason.NOT_EEG,
            file=path.name,
            remedy="Remove the file from the corpus",
        )
    interrupted = fixed[192:236].strip().upper().startswith((b"EDF+D", b"BDF+D"))
    return Header(size, records, record_seconds, sample_bytes, channels, interrupted)


def text_copy(path: Path) -> ReadError:
    """Return the error for a file that a program changed because it took it for text."""
    return ReadError(
        "damaged by a program that took it for text (line ends, a byte-order mark or UTF-8)",
        reason=Reason.DAMAGED,
        file=path.name,
        remedy="Take the original, or download the file again in binary mode",
    )


def _was_text(fixed: bytes) -> bool:
    """Whether a signature follows a byte-order mark, or is in UTF-8 or UTF-16."""
    for encoding in ("utf-8-sig", "utf-16"):
        text = fixed.decode(encoding, "replace")
        if text.startswith(("0       ", "\xffBIOSEMI", "\ufffdBIOSEMI")):
            return True
    return False


def _channels(described: bytes, count: int) -> Iterator[Channel]:
    fields: dict[str, list[bytes]] = {}
    at = 0
    for name, width in _WIDTHS.items():
        fields[name] = [described[at + i * width : at + (i + 1) * width] for i in range(count)]
        at += count * width
    samples = [_whole(content) for content in fields["samples"]]
    for i, start in enumerate(accumulate(samples[:-1], initial=0)):
        unit = field(fields["unit"][i])
        factor = microvolts(unit)
        gain, offset = _scale(fields, i, factor or 1.0)
        yield Channel(field(fields["label"][i]), samples[i], start, gain, offset, UNITS[factor] if factor else "")


def _scale(fields: dict[str, list[bytes]], i: int, factor: float) -> tuple[float, float]:
    """Return µV per digital step and µV at digital zero; NaN if the header's limits are invalid."""
    try:
        low, high, lowest, highest = (
            _number(fields[name][i]) for name in ("physical_min", "physical_max", "digital_min", "digital_max")
        )
    except ValueError:
        return math.nan, math.nan
    least, most = _MICROVOLTS_RANGE
    usable = all(map(math.isfinite, (low, high, lowest, highest))) and lowest < highest
    if not usable or not least <= abs(high - low) * factor <= most or max(abs(low), abs(high)) * factor > most:
        return math.nan, math.nan
    gain = (high - low) * factor / (highest - lowest)
    return gain, low * factor - lowest * gain


def _whole(content: bytes) -> int:
    """Return a field as a whole number; some recorders write ``20.0``."""
    number = _number(content)
    if not number.is_integer():
        raise ValueError
    return int(number)


def _number(content: bytes) -> float:
    """Return a field as a number; some recorders write decimal commas."""
    return float(field(content).replace(",", "."))
