"""EDF, EDF+ and BDF.

The header is checked before MNE sees the file, because a damaged file must not pass as a good one. Fields and their
widths: https://www.edfplus.info/specs/edf.html and https://www.biosemi.com/faq/file_format.htm.
"""

from dataclasses import dataclass
from pathlib import Path

import mne
import numpy as np

from labram.errors import ReadError, Reason
from labram.signals.readers.edf_gaps import record_times, without_holes
from labram.signals.readers.with_mne import open_raw, to_recording, unreadable
from labram.signals.recording import Recording

MIN_RECORDS_FRACTION = 0.95
"""A file that ends early is kept, with a note, where at least this share of its data records is whole."""

_LINE_FEED, _CARRIAGE_RETURN = 0x0A, 0x0D
_MIN_LINE_FEEDS = 64
_CHUNK_BYTES = 1 << 24
_PER_SIGNAL_BEFORE_SAMPLES = 216
_ANNOTATION_LABELS = ("EDF Annotations", "BDF Annotations")


@dataclass(frozen=True)
class _Layout:
    """How the file says it is laid out; the record count is -1 where the recorder never closed the file.

    Labels and samples a record are those of all signals, annotation signals among them.
    """

    header_bytes: int
    records: int
    record_bytes: int
    sample_bytes: int
    labels: tuple[str, ...]
    samples: tuple[int, ...]
    record_seconds: float
    interrupted: bool


def read(path: Path) -> Recording:
    """Read an EDF, EDF+ or BDF file.

    Whole records are kept when at least 95 % of those promised are there (note ``truncated_tail``), or where the
    header leaves their number open (note ``record_count_unknown``).

    Raises:
        ReadError: UNREADABLE if the header is no such header; TRUNCATED if less is there; DAMAGED if a text-mode copy
            has put a carriage return before every line feed of the samples.
    """
    layout = _layout(path)
    notes = _completeness(path, layout)
    _refuse_text_mode_copy(path, layout)
    opener = mne.io.read_raw_bdf if layout.sample_bytes == 3 else mne.io.read_raw_edf
    signals = {i: label for i, label in enumerate(layout.labels) if label not in _ANNOTATION_LABELS}
    # Rates that differ are made equal over the whole recording; by blocks each block would have edges.
    mixed_rates = len({layout.samples[i] for i in signals}) > 1
    try:
        raw = open_raw(path, opener, preload=mixed_rates)
    except ReadError:
        raw = open_raw(path, opener, preload=mixed_rates, encoding="latin1")
        notes = (*notes, "annotations_latin1")
    channels = tuple(signals.values()) if len(signals) == len(raw.ch_names) else None
    recording = to_recording(path, raw, channels=channels, notes=notes)
    return _without_holes(path, layout, recording) if layout.interrupted else recording


def _layout(path: Path) -> _Layout:
    with path.open("rb") as file:
        fixed = file.read(256)
        sample_bytes = {b"0       ": 2, b"\xffBIOSEMI": 3}.get(fixed[:8])
        if sample_bytes is None:
            raise unreadable(path, "no EDF or BDF signature")
        try:
            header_bytes, records, signals = int(fixed[184:192]), int(fixed[236:244]), int(fixed[252:256])
            record_seconds = float(fixed[244:252])
            per_signal = file.read(header_bytes - 256)
            labels = tuple(per_signal[16 * i : 16 * (i + 1)].decode("latin1").strip() for i in range(signals))
            counts = per_signal[_PER_SIGNAL_BEFORE_SAMPLES * signals :]
            samples = tuple(int(counts[8 * i : 8 * (i + 1)]) for i in range(signals))
        except (ValueError, OverflowError):
            raise unreadable(path, "header fields that are not numbers") from None
    if header_bytes != 256 * (signals + 1) or signals < 1 or min(samples) < 1 or records < -1 or records == 0:
        raise unreadable(path, "header fields that contradict each other")
    interrupted = fixed[192:197] in (b"EDF+D", b"BDF+D")
    record_bytes = sum(samples) * sample_bytes
    return _Layout(header_bytes, records, record_bytes, sample_bytes, labels, samples, record_seconds, interrupted)


def _completeness(path: Path, layout: _Layout) -> tuple[str, ...]:
    whole = (path.stat().st_size - layout.header_bytes) // layout.record_bytes
    if layout.records == -1 and whole > 0:
        return ("record_count_unknown",)
    if whole >= layout.records > 0:
        return ()
    if whole > 0 and whole >= MIN_RECORDS_FRACTION * layout.records:
        return ("truncated_tail",)
    raise ReadError(
        f"ends early: {max(whole, 0)} of {layout.records} data records are there",
        reason=Reason.TRUNCATED,
        file=path.name,
        remedy="Fetch the whole file again",
    )


def _without_holes(path: Path, layout: _Layout, recording: Recording) -> Recording:
    """Place events and tell holes by the records' own times.

    Raises:
        ReadError: If a record does not say when it began.
    """
    first = next((i for i, label in enumerate(layout.labels) if label in _ANNOTATION_LABELS), None)
    annotations: list[bytes] = []
    if first is not None:
        start = sum(layout.samples[:first]) * layout.sample_bytes
        stop = start + layout.samples[first] * layout.sample_bytes
        data = np.memmap(path, np.uint8, mode="r", offset=layout.header_bytes)
        records = len(data) // layout.record_bytes
        records = records if layout.records == -1 else min(records, layout.records)
        whole = data[: records * layout.record_bytes].reshape(records, layout.record_bytes)
        annotations = [record[start:stop].tobytes() for record in whole]
    times = record_times(annotations, layout.record_seconds)
    if times is None:
        raise ReadError(
            "is interrupted, and its records do not say when they began",
            reason=Reason.DAMAGED,
            file=path.name,
            remedy="Export the recording again, in one piece",
        )
    return without_holes(recording, times, annotations)


def _refuse_text_mode_copy(path: Path, layout: _Layout) -> None:
    """Find the marks of a copy in text mode, which inserts a byte 0x0D before each 0x0A.

    Among samples a line feed follows a carriage return about once in 256 times. Every one of many doing so, and not
    always at the same place within a sample (a constant signal of value 0x0A0D would), has no other explanation. The
    file's size need not betray it: a mirror may have cut the tail to the expected length.
    """
    places = np.zeros(layout.sample_bytes, int)
    line_feeds = pairs = 0
    data = np.memmap(path, np.uint8, mode="r", offset=layout.header_bytes)
    for start in range(0, len(data), _CHUNK_BYTES):
        chunk = np.asarray(data[max(start - 1, 0) : start + _CHUNK_BYTES])
        at = np.flatnonzero(chunk[1:] == _LINE_FEED)
        paired = at[chunk[at] == _CARRIAGE_RETURN]
        line_feeds, pairs = line_feeds + len(at), pairs + len(paired)
        places += np.bincount((paired + max(start - 1, 0)) % layout.sample_bytes, minlength=layout.sample_bytes)
    if line_feeds >= _MIN_LINE_FEEDS and pairs == line_feeds and places.min() * 10 >= pairs / layout.sample_bytes:
        raise ReadError(
            "its samples went through a text-mode copy (a carriage return before every line feed)",
            reason=Reason.DAMAGED,
            file=path.name,
            remedy="Fetch the file again, in binary mode",
        )
