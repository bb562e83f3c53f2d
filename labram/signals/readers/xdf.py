"""XDF, what LabRecorder writes: streams of a network, each with time stamps and a description in XML (xdf-modules/xdf).

One stream becomes the recording: of those of type EEG that hold samples, the one with most electrodes of the model's
table. All streams without a steady rate are its events. Nothing else of the file is used.
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
from labram.signals.readers.with_mne import quiet
from labram.signals.recording import UNITS, Event, Recording

_MICROVOLTS = {
    **dict.fromkeys(("microvolts", "microvolt", "uv", "µv", "μv"), 1.0),
    **dict.fromkeys(("millivolts", "millivolt", "mv"), 1e3),
    **dict.fromkeys(("volts", "volt", "v"), 1e6),
    **dict.fromkeys(("nanovolts", "nanovolt", "nv"), 1e-3),
}
_HOLE_SECONDS = 0.25
"""Time stamps further apart are a hole; less is the network's jitter, and is smoothed away."""
_RATE_TOLERANCE = 0.01


def read(path: Path) -> Recording:
    """Read the EEG stream, on the clock of the computer that recorded. Others of EEG are noted (``other_eeg_streams``).

    Its unit is its channels' own, else µV as the format's conventions ask (note ``unit_not_stated``). Its rate is the
    one that it announced, unless its time stamps are more than 1 % away from that (note ``rate_from_time_stamps``). A
    file that nobody closed does not say how many samples it had (note ``record_count_unknown``).

    Raises:
        ReadError: NOT_EEG if no stream is of type EEG, TOO_SHORT if it is empty, DAMAGED if it has fewer samples than
            the file says or its time stands still, else UNREADABLE.
    """
    try:
        with quiet():
            streams, _ = pyxdf.load_xdf(
                path, jitter_break_threshold_seconds=_HOLE_SECONDS, jitter_break_threshold_samples=0
            )
    except Exception as error:  # pyxdf raises whatever its parsers meet, bare `Exception` included
        raise unreadable(path, type(error).__name__) from None
    stream, choice_note = _eeg(path, streams)
    notes = (*choice_note, *_completeness(path, stream))
    stamps = stream["time_stamps"]
    rate, rate_note = _rate(path, stream)
    factors, unit_note = _factors(stream)
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused for it
        data = np.ascontiguousarray(np.asarray(stream["time_series"], np.float32).T)
    return Recording(
        data=np.multiply(data, factors[:, None], out=data),
        channels=_labels(stream),
        sfreq=rate,
        events=_events(streams, stamps, rate),
        gap_seconds=_longest_hole(stamps, rate),
        notes=(*notes, *rate_note, *unit_note),
        unit="" if unit_note else UNITS[float(factors[0])],
    )


def _eeg(path: Path, streams: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The stream that becomes the recording, and a note if there were others that might have."""
    found = [
        stream
        for stream in streams
        if _text(stream["info"], "type").upper() == "EEG" and isinstance(stream["time_series"], np.ndarray)
    ]
    if not found:
        raise ReadError(
            "has no stream of type EEG",
            reason=Reason.NOT_EEG,
            file=path.name,
            remedy="Leave it out, or give the stream the type EEG where it is recorded",
        )
    filled = [stream for stream in found if len(stream["time_stamps"]) > 1]
    if not filled:
        raise empty(path)
    chosen = max(filled, key=lambda stream: sum(map(bool, canonical_names(_labels(stream)))))
    return chosen, ("other_eeg_streams",) if len(filled) > 1 else ()


def _completeness(path: Path, stream: dict[str, Any]) -> tuple[str, ...]:
    """Compare with the count of the footer, which recorders begin with the second sample."""
    footer = stream.get("footer")
    if footer is None:
        return ("record_count_unknown",)
    if len(stream["time_stamps"]) < _number(footer["info"], "sample_count"):
        raise _damaged(path, "has fewer samples than it says")
    return ()


def _rate(path: Path, stream: dict[str, Any]) -> tuple[float, tuple[str, ...]]:
    announced = _number(stream["info"], "nominal_srate")
    step = float(np.median(np.diff(stream["time_stamps"])))
    if not step > 0:
        raise _damaged(path, "has time stamps that stand still")
    if abs(announced * step - 1) <= _RATE_TOLERANCE:
        return announced, ()
    return 1 / step, ("rate_from_time_stamps",)


def _damaged(path: Path, problem: str) -> ReadError:
    return ReadError(problem, reason=Reason.DAMAGED, file=path.name, remedy="Fetch the whole file again")


def _factors(stream: dict[str, Any]) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """What each channel is multiplied with."""
    units = [_text(channel, "unit").lower() for channel in _channels(stream)]
    if not units or not _MICROVOLTS.keys() >= set(units):
        return np.ones(stream["time_series"].shape[1], np.float32), ("unit_not_stated",)
    return np.array([_MICROVOLTS[unit] for unit in units], np.float32), ()


def _labels(stream: dict[str, Any]) -> tuple[str, ...]:
    """Labels of the description, else numbers."""
    labels = tuple(_text(channel, "label") for channel in _channels(stream))
    return labels or tuple(str(number) for number in range(1, 1 + stream["time_series"].shape[1]))


def _channels(stream: dict[str, Any]) -> list[dict[str, Any]]:
    """Descriptions of the channels; none unless there is one for each."""
    described: Any = stream["info"]
    for level in ("desc", "channels"):
        described = (described.get(level) or [None])[0] or {}
    channels = described.get("channel") or []
    return channels if len(channels) == stream["time_series"].shape[1] else []


def _text(element: Any, name: str) -> str:
    """Text of an element's first child of this name, empty where there is none."""
    return str((element.get(name) or [None])[0] or "").strip()


def _number(element: Any, name: str) -> float:
    """What `_text` gives, as a number; 0 where it is none."""
    try:
        return float(_text(element, name))
    except ValueError:
        return 0.0


def _events(streams: Sequence[dict[str, Any]], stamps: NDArray[np.float64], rate: float) -> tuple[Event, ...]:
    """Samples of all streams without a steady rate, each at the sample of EEG that came next."""
    events = []
    for stream in streams:
        if _number(stream["info"], "nominal_srate"):
            continue
        for when, row in zip(stream["time_stamps"], stream["time_series"], strict=True):
            if stamps[0] <= when <= stamps[-1]:
                code = "/".join(f"{value:g}" if isinstance(value, np.number) else str(value) for value in row)
                events.append(Event(int(np.searchsorted(stamps, when)) / rate, 0.0, code))
    return tuple(sorted(events, key=lambda event: event.onset))


def _longest_hole(stamps: NDArray[np.float64], rate: float) -> float:
    hole = float(np.abs(np.diff(stamps)).max()) - 1 / rate
    return round(hole, 3) if hole > _HOLE_SECONDS else 0.0
