"""XDF, written by LabRecorder: network streams with time stamps and XML metadata (xdf-modules/xdf).

The recording is the stream of type EEG with the most electrodes of the model's table. All streams with irregular
sampling rate become events. Other streams are ignored.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyxdf
from numpy.typing import NDArray

from labram.errors import ReadError, Reason
from labram.signals.electrodes import canonical_names
from labram.signals.readers.errors import empty, unreadable
from labram.signals.readers.time_stamps import longest_gap
from labram.signals.readers.units import microvolts, of_electrodes
from labram.signals.readers.with_mne import quiet
from labram.signals.recording import Event, Recording

_GAP_SECONDS = 0.25
"""Time stamps further apart are a gap; smaller differences are network jitter, which is smoothed."""
_RATE_TOLERANCE = 0.01


def read(path: Path) -> Recording:
    """Read the EEG stream, on the clock of the recording computer; note ``other_eeg_streams`` if there are more.

    The unit is that of its electrodes, else µV by convention (note ``unit_not_stated``). The sampling rate is the
    nominal one, unless the time stamps differ by more than 1 % (note ``rate_from_time_stamps``). A file without footer
    does not state its number of samples (note ``record_count_unknown``).

    Raises:
        ReadError: NOT_EEG if no stream has type EEG, TOO_SHORT if it is empty, DAMAGED if samples are missing or time
            stamps do not increase, else UNREADABLE.
    """
    try:
        with quiet():
            streams, _ = pyxdf.load_xdf(
                path, jitter_break_threshold_seconds=_GAP_SECONDS, jitter_break_threshold_samples=0
            )
    except Exception as error:  # pyxdf raises arbitrary exceptions, including bare `Exception`
        raise unreadable(path, type(error).__name__) from None
    stream, choice_note = _eeg(path, streams)
    notes = (*choice_note, *_completeness(path, stream))
    stamps = stream["time_stamps"]
    sfreq, rate_note = _rate(path, stream)
    factors, unit, unit_note = _factors(stream)
    with np.errstate(over="ignore"):  # values beyond float32 become infinite and are rejected later
        data = np.ascontiguousarray(np.asarray(stream["time_series"], np.float32).T)
    return Recording(
        data=np.multiply(data, factors[:, None], out=data),
        channels=_labels(stream),
        sfreq=sfreq,
        events=_events(streams, stamps, sfreq),
        gap_seconds=longest_gap(stamps, sfreq, jitter_seconds=_GAP_SECONDS),
        notes=(*notes, *rate_note, *unit_note),
        unit=unit,
    )


def _eeg(path: Path, streams: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the stream that becomes the recording, and a note if there are other EEG streams."""
    eeg_streams = [
        stream
        for stream in streams
        if _text(stream["info"], "type").upper() == "EEG" and isinstance(stream["time_series"], np.ndarray)
    ]
    if not eeg_streams:
        raise ReadError(
            "no stream of type EEG",
            reason=Reason.NOT_EEG,
            file=path.name,
            remedy="Remove the file from the corpus, or set the stream type to EEG in the recording software",
        )
    filled = [stream for stream in eeg_streams if len(stream["time_stamps"]) > 1]
    if not filled:
        raise empty(path)
    largest = max(filled, key=lambda stream: sum(map(bool, canonical_names(_labels(stream)))))
    return largest, ("other_eeg_streams",) if len(filled) > 1 else ()


def _completeness(path: Path, stream: dict[str, Any]) -> tuple[str, ...]:
    """Compare the number of samples with the footer, in which recorders omit the first sample."""
    footer = stream.get("footer")
    if footer is None:
        return ("record_count_unknown",)
    if len(stream["time_stamps"]) < _number(footer["info"], "sample_count"):
        raise _damaged(path, "fewer samples than the footer states")
    return ()


def _rate(path: Path, stream: dict[str, Any]) -> tuple[float, tuple[str, ...]]:
    nominal = _number(stream["info"], "nominal_srate")
    step = float(np.median(np.diff(stream["time_stamps"])))
    if not step > 0:
        raise _damaged(path, "time stamps do not increase")
    if abs(nominal * step - 1) <= _RATE_TOLERANCE:
        return nominal, ()
    return 1 / step, ("rate_from_time_stamps",)


def _damaged(path: Path, problem: str) -> ReadError:
    return ReadError(problem, reason=Reason.DAMAGED, file=path.name, remedy="Download the whole file again")


def _factors(stream: dict[str, Any]) -> tuple[NDArray[np.float32], str, tuple[str, ...]]:
    """Return the factor of each channel to µV, the unit of the electrodes, and notes.

    An electrode without a unit has that of the others, if they agree. Other channels need none.
    """
    labels = _labels(stream)
    stated = [microvolts(_text(channel, "unit")) for channel in _channels(stream)] or [None] * len(labels)
    named = canonical_names(labels)
    electrodes = [factor for factor, name in zip(stated, named, strict=True) if name] or stated
    shared = {factor for factor in electrodes if factor}
    assumed = shared.pop() if len(shared) == 1 else 1.0
    factors = np.array([factor or (assumed if name else 1.0) for factor, name in zip(stated, named, strict=True)])
    return factors.astype(np.float32), *of_electrodes(labels, stated)


def _labels(stream: dict[str, Any]) -> tuple[str, ...]:
    """Return the labels in the metadata, else numbers."""
    labels = tuple(_text(channel, "label") for channel in _channels(stream))
    return labels or tuple(str(number) for number in range(1, 1 + stream["time_series"].shape[1]))


def _channels(stream: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the metadata of the channels, empty unless complete."""
    element: Any = stream["info"]
    for level in ("desc", "channels"):
        element = (element.get(level) or [None])[0] or {}
    channels = element.get("channel") or []
    return channels if len(channels) == stream["time_series"].shape[1] else []


def _text(element: Any, name: str) -> str:
    """Return the text of an element's first child of this name, empty if there is none."""
    return str((element.get(name) or [None])[0] or "").strip()


def _number(element: Any, name: str) -> float:
    """Return `_text` as a number, 0 if it is none."""
    try:
        return float(_text(element, name))
    except ValueError:
        return 0.0


def _events(streams: Sequence[dict[str, Any]], stamps: NDArray[np.float64], sfreq: float) -> tuple[Event, ...]:
    """Return the samples of all irregular streams as events, each at the next EEG sample."""
    events = []
    for stream in streams:
        if _number(stream["info"], "nominal_srate"):
            continue
        for time, row in zip(stream["time_stamps"], stream["time_series"], strict=True):
            if stamps[0] <= time <= stamps[-1]:
                code = "/".join(f"{value:g}" if isinstance(value, np.number) else str(value) for value in row)
                events.append(Event(int(np.searchsorted(stamps, time)) / sfreq, 0.0, code))
    return tuple(sorted(events, key=lambda event: event.onset))
