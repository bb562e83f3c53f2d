"""EDF, EDF+ and BDF.

Damaged files are detected: the header must be consistent and agree with the file's size, and the samples must not show
a text-mode copy. Tolerated defects are notes.
"""

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np

from labram.errors import ReadError, Reason
from labram.signals.electrodes import canonical_names
from labram.signals.readers.edf_annotations import MOST_EVENTS, Annotation, parse, record_times, to_events
from labram.signals.readers.edf_header import RATES_HZ, Channel, Header, read_header, text_copy
from labram.signals.readers.edf_samples import EdfSignal, digital, texts
from labram.signals.readers.errors import truncated, unreadable
from labram.signals.readers.triggers import rising_edges
from labram.signals.recording import Event, Recording

MIN_RECORDS_FRACTION = 0.95
"""A truncated file is kept, with a note, if at least this fraction of its data records is complete."""

_LINE_FEED, _CARRIAGE_RETURN = 0x0A, 0x0D
_MIN_LINE_FEEDS = 64
_BLOCK_BYTES, _TEXT_BYTES = 1 << 20, 1 << 14
_DURATION_TOLERANCE = 0.01
"""Of the duration of a record, against the interval at which most of them begin."""
_TRIGGER_LABELS = frozenset({"status", "trigger"})


def recognises(path: Path) -> bool:
    """Return whether a file starts with version 0 of EDF and a header whose size fits its number of signals."""
    with path.open("rb") as file:
        start = file.read(256)
    size, signals = start[184:192].strip(), start[252:256].strip()
    sound = start[:8].rstrip(b" \0") == b"0" and size.isdigit() and signals.isdigit()
    return sound and int(size) == 256 * (int(signals) + 1)


def read(path: Path) -> Recording:
    """Open an EDF, EDF+ or BDF file.

    The recording has the channels with the sampling rate of most electrodes. Notes name tolerated defects:
    ``truncated_tail`` (at least 95 % of the announced records exist), ``record_count_unknown`` and
    ``record_count_wrong`` (the header announces no number of records, or too few), ``channels_of_other_rates`` and
    ``channels_without_scale`` (dropped), ``unit_not_stated`` (of an electrode; µV assumed), ``annotations_latin1`` (not
    UTF-8), ``events_cut`` (more than a million).

    Raises:
        ReadError: UNREADABLE if the header is malformed; TRUNCATED if records are missing; DAMAGED if the file was
            copied as text, if no channel has a scale, or if the onsets of its records are missing or contradict their
            duration; ANNOTATIONS_ONLY if there is no signal; NOT_EEG if no channel has a plausible sampling rate.
    """
    try:
        header = read_header(path)
        records, notes = _completeness(path, header)
        _detect_text_mode_copy(path, header)
    except OSError as error:
        raise unreadable(path, error.strerror or "input error") from None
    channels, channel_notes = _channels(path, header)
    events, gap_seconds, event_notes = _events(path, header, records)
    return Recording(
        data=EdfSignal(path, header, records, channels),
        channels=tuple(channel.label for channel in channels),
        sfreq=channels[0].samples / header.record_seconds,
        events=tuple(sorted(events, key=lambda event: event.onset)),
        gap_seconds=gap_seconds,
        notes=(*notes, *channel_notes, *event_notes),
        unit=next((channel.unit for channel in channels if channel.unit), ""),
    )


def _completeness(path: Path, header: Header) -> tuple[int, list[str]]:
    """Return the number of complete data records, and notes."""
    complete = max(path.stat().st_size - header.size, 0) // header.record_bytes
    if complete and header.records == -1:
        return complete, ["record_count_unknown"]
    if complete and complete >= header.records:
        return complete, ["record_count_wrong"] if complete > header.records else []
    if complete and complete >= MIN_RECORDS_FRACTION * header.records:
        return complete, ["truncated_tail"]
    raise truncated(path, f"expected {header.records} data records, got {complete}")


def _detect_text_mode_copy(path: Path, header: Header) -> None:
    """Detect a text-mode copy, which inserts a byte 0x0D before each 0x0A, and a copy as UTF-8.

    In samples, a line feed follows a carriage return by chance in 1 of 256 cases. A text-mode copy is certain if every
    one of many line feeds does, at varying bytes of a sample (a constant signal of 0x0A0D would be at the same). The
    file size may be unchanged, because a mirror can crop the file. The first lone line feed ends the check, so usually
    only the start of the file is read.
    """
    if _is_utf8(path, header):
        raise text_copy(path)
    width = header.sample_bytes
    byte_counts = np.zeros(width, int)
    before, at = b"", 0
    with path.open("rb") as file:
        file.seek(header.size)
        while block := file.read(_BLOCK_BYTES):
            data = np.frombuffer(before + block, np.uint8)
            line_feeds = np.flatnonzero(data[1:] == _LINE_FEED)
            if (data[line_feeds] != _CARRIAGE_RETURN).any() or (not at and block[0] == _LINE_FEED):
                return
            byte_counts += np.bincount((line_feeds + at - len(before)) % width, minlength=width)
            before, at = block[-1:], at + len(block)
    if byte_counts.sum() >= _MIN_LINE_FEEDS and byte_counts.min() * 10 >= byte_counts.sum() / width:
        raise text_copy(path)


def _is_utf8(path: Path, header: Header) -> bool:
    """Whether the first samples are UTF-8 with many characters beyond ASCII, which those of a recording never are."""
    with path.open("rb") as file:
        file.seek(header.size)
        block = file.read(_TEXT_BYTES)
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(block) - 3:
            return False
        text = block[: error.start].decode("utf-8")
    return len(text) - len(text.encode("ascii", "ignore")) >= _MIN_LINE_FEEDS


def _channels(path: Path, header: Header) -> tuple[tuple[Channel, ...], list[str]]:
    """Return the channels with the sampling rate of most electrodes (else of most channels), and notes."""
    signals = [channel for channel in header.channels if not channel.annotates]
    scaled = [channel for channel in signals if channel.scaled]
    slowest, fastest = (rate * header.record_seconds for rate in RATES_HZ)
    usable = [channel for channel in scaled if slowest <= channel.samples <= fastest]
    if not usable:
        raise ReadError(
            "the header has no valid scale for any channel",
            reason=Reason.DAMAGED,
            file=path.name,
            remedy="Export the recording again",
        )
    named = canonical_names([channel.label for channel in usable])
    electrodes = [channel for channel, name in zip(usable, named, strict=True) if name] or usable
    counts = Counter(channel.samples for channel in electrodes)
    samples = max(counts, key=lambda count: (counts[count], count))
    notes = {
        "channels_without_scale": len(scaled) < len(signals),
        "channels_of_other_rates": any(channel.samples != samples for channel in scaled),
        "unit_not_stated": any(name and not channel.unit for channel, name in zip(usable, named, strict=True)),
    }
    kept = tuple(channel for channel in usable if channel.samples == samples)
    return kept, [note for note, holds in notes.items() if holds]


def _events(path: Path, header: Header, records: int) -> tuple[list[Event], float, list[str]]:
    """Return annotations, else rising edges of a trigger channel; the longest gap in seconds; and notes.

    Raises:
        ReadError: DAMAGED if the file is interrupted and its records have no onsets, or if it is not and its records
            begin at other intervals than their duration.
    """
    annotations: list[Annotation] = []
    times = None
    for number, channel in enumerate(channel for channel in header.channels if channel.annotates):
        onsets, channel_annotations = parse(texts(path, header, records, channel))
        annotations += channel_annotations
        if number == 0:
            times = record_times(onsets, header.record_seconds)
    if times is None and header.interrupted:
        raise ReadError(
            "the file is interrupted (EDF+D), but its records have no onsets",
            reason=Reason.DAMAGED,
            file=path.name,
            remedy="Export the recording again as a continuous file",
        )
    if times is not None and not header.interrupted and len(times.onsets) > 2:
        step = float(np.median(np.diff(times.onsets)))
        if abs(step / header.record_seconds - 1) > _DURATION_TOLERANCE:
            raise ReadError(
                f"its records last {header.record_seconds:g} s and start every {step:g} s: the rate is unknown",
                reason=Reason.DAMAGED,
                file=path.name,
                remedy="Export the recording again",
            )
    events, encoding = to_events(annotations, times, records * header.record_seconds)
    events = events or _triggers(path, header, records)
    notes = ["annotations_latin1"] if encoding == "latin1" else []
    if len(events) > MOST_EVENTS:
        notes.append("events_cut")
    gap = times.longest_gap if times else 0.0
    shortest = min(header.record_seconds / channel.samples for channel in header.channels if not channel.annotates)
    return events[:MOST_EVENTS], gap if gap > shortest else 0.0, notes


def _triggers(path: Path, header: Header, records: int) -> list[Event]:
    """Return the rising edges of the first trigger channel: 16 bits of its digital values, scaled in EDF."""
    channel = next((channel for channel in header.channels if channel.label.lower() in _TRIGGER_LABELS), None)
    if channel is None:
        return []
    scaled = header.sample_bytes != 3 and channel.scaled
    blocks = (
        np.rint(values * channel.gain + channel.offset if scaled else values).astype(np.int64)
        for values in digital(path, header, records, channel)
    )
    period = header.record_seconds / channel.samples
    rises = islice(rising_edges(blocks), MOST_EVENTS + 1)
    return [Event(sample * period, 0.0, code) for sample, code in rises]
