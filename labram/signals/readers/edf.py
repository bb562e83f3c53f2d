"""EDF, EDF+ and BDF.

A damaged file must not pass as a good one: the header must agree with itself and with the file's size, and the samples
must not have gone through a copy in text mode. What is put up with is noted.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from labram.errors import ReadError, Reason
from labram.signals.electrodes import canonical_names
from labram.signals.readers.edf_annotations import MOST_EVENTS, Annotation, parse, record_times, to_events
from labram.signals.readers.edf_header import RATES_HZ, Channel, Header, read_header
from labram.signals.readers.edf_samples import EdfSignal, digital, texts
from labram.signals.readers.errors import truncated, unreadable
from labram.signals.recording import Event, Recording

MIN_RECORDS_FRACTION = 0.95
"""A file that ends early is kept, with a note, where at least this share of its data records is whole."""

_LINE_FEED, _CARRIAGE_RETURN = 0x0A, 0x0D
_MIN_LINE_FEEDS = 64
_BLOCK_BYTES = 1 << 20
_TRIGGER_LABELS = frozenset({"status", "trigger"})
_TRIGGER_BITS = 0xFFFF


def read(path: Path) -> Recording:
    """Open an EDF, EDF+ or BDF file.

    The recording is made of the channels of one rate, that of most electrodes. Notes tell what was put up with:
    ``truncated_tail`` (at least 95 % of the promised records are there), ``record_count_unknown`` and
    ``record_count_wrong`` (the header leaves their number open, or promises fewer than there are),
    ``channels_of_other_rates`` and ``channels_without_scale`` (left out), ``unit_not_stated`` (of an electrode; µV
    assumed), ``annotations_latin1`` (not in UTF-8), ``events_cut`` (more than a million).

    Raises:
        ReadError: UNREADABLE if the header is no such header; TRUNCATED if records are missing; DAMAGED if a text-mode
            copy has put a carriage return before every line feed of the samples, if no channel has a scale, or if an
            interrupted file does not say where its holes are; NOT_EEG if no channel has a rate of EEG.
    """
    try:
        header = read_header(path)
        records, notes = _completeness(path, header)
        _refuse_text_mode_copy(path, header)
    except OSError as error:
        raise unreadable(path, error.strerror or "input error") from None
    channels, left_out = _channels(path, header)
    events, gap_seconds, remarks = _events(path, header, records)
    return Recording(
        data=EdfSignal(path, header, records, channels),
        channels=tuple(channel.label for channel in channels),
        sfreq=channels[0].samples / header.record_seconds,
        events=tuple(sorted(events, key=lambda event: event.onset)),
        gap_seconds=gap_seconds,
        notes=(*notes, *left_out, *remarks),
        unit=next((channel.unit for channel in channels if channel.unit), ""),
    )


def _completeness(path: Path, header: Header) -> tuple[int, list[str]]:
    """How many whole data records there are, and what is to be said of it."""
    whole = max(path.stat().st_size - header.size, 0) // header.record_bytes
    if whole and header.records == -1:
        return whole, ["record_count_unknown"]
    if whole and whole >= header.records:
        return whole, ["record_count_wrong"] if whole > header.records else []
    if whole and whole >= MIN_RECORDS_FRACTION * header.records:
        return whole, ["truncated_tail"]
    raise truncated(path, f"ends early: {whole} of {header.records} data records are there")


def _refuse_text_mode_copy(path: Path, header: Header) -> None:
    """Find the marks of a copy in text mode, which inserts a byte 0x0D before each 0x0A.

    Among samples a line feed follows a carriage return about once in 256 times. Every one of many doing so, and not
    always at the same place within a sample (a constant signal of value 0x0A0D would), has no other explanation. The
    file's size need not betray it: a mirror may have cut the tail to the expected length. The first line feed that
    stands alone acquits the file, so nearly always only its beginning is read.
    """
    width = header.sample_bytes
    places = np.zeros(width, int)
    before, at = b"", 0
    with path.open("rb") as file:
        file.seek(header.size)
        while block := file.read(_BLOCK_BYTES):
            data = np.frombuffer(before + block, np.uint8)
            line_feeds = np.flatnonzero(data[1:] == _LINE_FEED)
            if (data[line_feeds] != _CARRIAGE_RETURN).any() or (not at and block[0] == _LINE_FEED):
                return
            places += np.bincount((line_feeds + at - len(before)) % width, minlength=width)
            before, at = block[-1:], at + len(block)
    if places.sum() >= _MIN_LINE_FEEDS and places.min() * 10 >= places.sum() / width:
        raise ReadError(
            "its samples went through a text-mode copy (a carriage return before every line feed)",
            reason=Reason.DAMAGED,
            file=path.name,
            remedy="Fetch the file again, in binary mode",
        )


def _channels(path: Path, header: Header) -> tuple[tuple[Channel, ...], list[str]]:
    """Channels of the rate that most electrodes have (where there are none: most channels), and notes of the others."""
    signals = [channel for channel in header.channels if not channel.annotates]
    scaled = [channel for channel in signals if channel.scaled]
    slowest, fastest = (rate * header.record_seconds for rate in RATES_HZ)
    usable = [channel for channel in scaled if slowest <= channel.samples <= fastest]
    if not usable:
        raise ReadError(
            "has no channel whose scale the header tells",
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
    """Annotations, else the rising values of a trigger channel; the longest hole in seconds; and notes.

    Raises:
        ReadError: DAMAGED if records may lie apart and do not say when they began.
    """
    annotations: list[Annotation] = []
    times = None
    for number, channel in enumerate(channel for channel in header.channels if channel.annotates):
        began, found = parse(texts(path, header, records, channel))
        annotations += found
        if number == 0:
            times = record_times(began, header.record_seconds)
    if times is None and header.interrupted:
        raise ReadError(
            "is interrupted, and its records do not say when they began",
            reason=Reason.DAMAGED,
            file=path.name,
            remedy="Export the recording again, in one piece",
        )
    events, encoding = to_events(annotations, times, records * header.record_seconds)
    events = events or _triggers(path, header, records)
    notes = ["annotations_latin1"] if encoding == "latin1" else []
    if len(events) > MOST_EVENTS:
        notes.append("events_cut")
    hole = times.longest_gap if times else 0.0
    shortest = min(header.record_seconds / channel.samples for channel in header.channels if not channel.annotates)
    return events[:MOST_EVENTS], hole if hole > shortest else 0.0, notes


def _triggers(path: Path, header: Header, records: int) -> list[Event]:
    """Where the first trigger channel rises, with what it rises to: 16 bits of its digital values, scaled in EDF."""
    channel = next((channel for channel in header.channels if channel.label.lower() in _TRIGGER_LABELS), None)
    if channel is None:
        return []
    events: list[Event] = []
    last, at = np.empty(0, np.int64), 0
    for values in digital(path, header, records, channel):
        physical = values if header.sample_bytes == 3 or not channel.scaled else values * channel.gain + channel.offset
        levels = np.concatenate([last, np.abs(np.rint(physical).astype(np.int64)) & _TRIGGER_BITS])
        rises = 1 + np.flatnonzero(levels[1:] > levels[:-1])
        period = header.record_seconds / channel.samples
        events += [Event((at - len(last) + int(rise)) * period, 0.0, str(levels[rise])) for rise in rises]
        if len(events) > MOST_EVENTS:
            break
        last, at = levels[-1:], at + len(values)
    return events
