"""GDF, the general data format for biosignals (arXiv cs/0608052). Event codes are those of its table, in decimal.

MNE's reader is not used: it takes "no value" for a value, assumes V for every unit of GDF 1 but µV, and fails without a
table of events.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labram.errors import ReadError, Reason
from labram.signals.electrodes import canonical_names
from labram.signals.readers.acquisition_gaps import remove_gaps
from labram.signals.readers.edf_annotations import MOST_EVENTS
from labram.signals.readers.errors import unreadable
from labram.signals.readers.gdf_header import Channel, Header, read_events, read_header
from labram.signals.readers.triggers import rising_edges
from labram.signals.recording import UNITS, Event, Recording, Samples

_BLOCK_BYTES = 1 << 22
_MOST_LOST = 0.5
"""An electrode without a value in more of the samples is left out."""
_NEW_SEGMENT = "32766"
"""Code of an event after a pause, whose duration the format does not state."""
_TRIGGER_LABELS = frozenset({"status", "trigger"})


def read(path: Path) -> Recording:
    """Read a GDF file: the channels with the sampling rate of most electrodes.

    Samples in which an electrode has no value are left out, as a gap (note ``lost_samples``). An electrode without a
    value in more than half of the samples is left out itself (note ``channels_without_values``). Other notes:
    ``channels_of_other_rates``, ``channels_without_scale``, ``unit_not_stated`` (of an electrode; µV assumed) and
    ``events_cut`` (more than a million).

    `Recording.gap_seconds` is None if an event tells that several recordings were joined.

    Raises:
        ReadError: TRUNCATED if records are missing, DAMAGED if an electrode's limits are no valid scale,
            or no electrode has values, else UNREADABLE.
    """
    try:
        header = read_header(path)
        channels, notes = _channels(path, header)
        sfreq = channels[0].samples / header.record_seconds
        events = read_events(path, header, sfreq) or _triggers(path, header)
        counts = _lost_counts(path, header, channels)
        named = [bool(name) for name in canonical_names([channel.label for channel in channels])]
        electrodes = np.array(named if any(named) else [True] * len(channels))
        dead = electrodes & (counts > _MOST_LOST * header.records * channels[0].samples)
        if (dead == electrodes).all():
            raise ReadError(
                "no electrode has values", reason=Reason.DAMAGED, file=path.name, remedy="Export the recording again"
            )
        used = [channel for channel, kept in zip(channels, electrodes & ~dead, strict=True) if kept]
        gaps = _gaps(path, header, used) if counts[electrodes & ~dead].any() else []
    except OSError as error:
        raise unreadable(path, error.strerror or "input error") from None
    channels = tuple(channel for channel, out in zip(channels, dead, strict=True) if not out)
    joined = any(event.code == _NEW_SEGMENT and event.onset for event in events)
    later_notes = {
        "channels_without_values": dead.any(),
        "lost_samples": bool(gaps),
        "events_cut": len(events) > MOST_EVENTS,
    }
    whole = Recording(
        data=_GdfSignal(path, header, channels),
        channels=tuple(channel.label for channel in channels),
        sfreq=sfreq,
        events=tuple(sorted(events[:MOST_EVENTS], key=lambda event: event.onset)),
        gap_seconds=0.0,
        notes=(*notes, *(note for note, holds in later_notes.items() if holds)),
        unit=next((UNITS[channel.microvolts] for channel in channels if channel.microvolts), ""),
    )
    recording = remove_gaps(whole, gaps)
    return replace(recording, gap_seconds=None) if joined else recording


def _channels(path: Path, header: Header) -> tuple[tuple[Channel, ...], list[str]]:
    """Return the channels with the sampling rate of most electrodes (else of most channels), and notes."""
    names = canonical_names([channel.label for channel in header.channels])
    electrodes = [channel for channel, name in zip(header.channels, names, strict=True) if name]
    if any(np.isnan(channel.gain) for channel in electrodes):
        raise ReadError(
            "the physical and digital limits of an electrode are no valid scale",
            reason=Reason.DAMAGED,
            file=path.name,
            remedy="Export the recording again",
        )
    scaled = [channel for channel in header.channels if not np.isnan(channel.gain)]
    if not scaled:
        raise unreadable(path, "no channel has a scale")
    counts = Counter(channel.samples for channel in electrodes or scaled)
    samples = max(counts, key=lambda count: (counts[count], count))
    notes = {
        "channels_without_scale": len(scaled) < len(header.channels),
        "channels_of_other_rates": any(channel.samples != samples for channel in scaled),
        "unit_not_stated": any(channel.microvolts is None for channel in electrodes),
    }
    kept = tuple(channel for channel in scaled if channel.samples == samples)
    return kept, [note for note, holds in notes.items() if holds]


@dataclass(frozen=True)
class _GdfSignal:
    """Channels with one sampling rate, read on demand; samples without a value are NaN."""

    path: Path
    header: Header
    channels: tuple[Channel, ...]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.channels), self.header.records * self.channels[0].samples

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        channels = [self.channels[pick] for pick in picks]
        samples: Samples = np.empty((len(channels), stop - start))
        for row, at, values in _pieces(self.path, self.header, channels, start, stop):
            into = samples[row, at : at + len(values)]
            np.multiply(values, channels[row].gain, out=into, dtype=np.float64)
            into += channels[row].offset
            into[_without_value(values, channels[row])] = np.nan
        return samples


def _without_value(values: NDArray[np.generic], channel: Channel) -> NDArray[np.bool_]:
    if channel.type.kind == "f":
        return np.isnan(values)  # type: ignore[no-any-return]
    return (values <= channel.lowest) | (values >= channel.highest)  # type: ignore[operator, no-any-return]


def _pieces(
    path: Path, header: Header, channels: Sequence[Channel], start: int, stop: int
) -> Iterator[tuple[int, int, NDArray[np.generic]]]:
    """Yield digital values of channels with one sampling rate: channel index, offset from `start`, values."""
    if start == stop or not channels:
        return
    per = channels[0].samples
    at_once = max(1, _BLOCK_BYTES // header.record_bytes)
    with path.open("rb") as file:
        for first in range(start // per, -(-stop // per), at_once):
            last = min(first + at_once, -(-stop // per))
            begin, end = max(start, first * per), min(stop, last * per)
            file.seek(header.size + first * header.record_bytes)
            block = file.read((last - first) * header.record_bytes)
            if len(block) < (last - first) * header.record_bytes:
                raise unreadable(path, "the file was truncated meanwhile")
            for row, channel in enumerate(channels):
                strides = (header.record_bytes, channel.type.itemsize)
                values: NDArray[np.generic] = np.ndarray(
                    (last - first, per), channel.type, block, offset=channel.start, strides=strides
                )
                yield row, begin - start, values.reshape(-1)[begin - first * per : end - first * per]


def _lost_counts(path: Path, header: Header, channels: Sequence[Channel]) -> NDArray[np.int64]:
    """Return the number of samples without a value of each channel."""
    counts = np.zeros(len(channels), np.int64)
    for row, _, values in _pieces(path, header, channels, 0, header.records * channels[0].samples):
        counts[row] += np.count_nonzero(_without_value(values, channels[row]))
    return counts


def _gaps(path: Path, header: Header, channels: Sequence[Channel]) -> list[tuple[int, int]]:
    """Return start and stop sample of each span in which a channel has no value."""
    lost = np.zeros(header.records * channels[0].samples, bool)
    for row, at, values in _pieces(path, header, channels, 0, len(lost)):
        lost[at : at + len(values)] |= _without_value(values, channels[row])
    return _spans(lost)


def _spans(lost: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(lost.astype(np.int8), prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _triggers(path: Path, header: Header) -> list[Event]:
    """Return the rising edges of the first trigger channel."""
    channel = next((channel for channel in header.channels if channel.label.lower() in _TRIGGER_LABELS), None)
    if channel is None:
        return []
    pieces = _pieces(path, header, [channel], 0, header.records * channel.samples)
    with np.errstate(invalid="ignore"):
        blocks = (np.rint(np.asarray(values, np.float64)).astype(np.int64) for _, _, values in pieces)
        rises = list(islice(rising_edges(blocks), MOST_EVENTS + 1))
    return [Event(sample * header.record_seconds / channel.samples, 0.0, code) for sample, code in rises]
