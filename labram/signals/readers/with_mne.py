"""Read recordings with MNE, without its warnings and messages, which may quote a header."""

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from labram.signals.readers.acquisition_gaps import find_gaps, remove_gaps
from labram.signals.readers.errors import empty, unreadable
from labram.signals.readers.triggers import rising_edges
from labram.signals.recording import UNITS, Event, Recording, Samples

_MICROVOLTS = 1e6
_BLOCK_SAMPLES = 1 << 20


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress all warnings, log lines and output of libraries in this block."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def open_raw(path: Path, opener: Callable[..., Any], *, preload: bool = False, **options: Any) -> Any:
    """Open an `mne.io.Raw`; samples stay in the file unless `preload` is set or MNE's reader always loads them.

    Raises:
        ReadError: If MNE fails; MNE's message is withheld.
    """
    try:
        with quiet():
            return opener(path, preload=preload, verbose="CRITICAL", **options)
    except Exception as error:  # MNE's parsers raise arbitrary exceptions, including bare `Exception`
        raise unreadable(path, type(error).__name__) from None


def to_recording(
    path: Path,
    raw: Any,
    *,
    channels: tuple[str, ...] | None = None,
    gap_seconds: float | None = None,
    notes: tuple[str, ...] = (),
) -> Recording:
    """Convert an `mne.io.Raw` to a recording in µV, read on demand, or float32 if MNE has loaded all samples.

    Args:
        path: The file, for error messages.
        raw: See `open_raw`.
        channels: Labels in the file, if MNE renamed duplicates.
        gap_seconds: `Recording.gap_seconds` if MNE finds no gap: 0 for a format that marks every gap.
        notes: Notes of the recording.

    Raises:
        ReadError: If it has no samples.
    """
    signal = _InFile(path, raw)
    if not all(signal.shape):
        raise empty(path)
    recording = Recording(
        data=_in_memory(signal) if raw.preload else signal,
        channels=channels or tuple(raw.ch_names),
        sfreq=float(raw.info["sfreq"]),
        events=_events(raw, signal),
        gap_seconds=gap_seconds,
        notes=notes,
        unit=next(filter(None, map(_unit, raw._orig_units.values())), ""),
    )
    return remove_gaps(recording, find_gaps(raw))


def _unit(stated: str) -> str:
    """Return the unit as spelled in `UNITS`; empty for any other unit."""
    unit = stated.replace("u", "µ").replace("μ", "µ")
    return unit if unit in UNITS.values() else ""


@dataclass(frozen=True)
class _InFile:
    """A `Signal` read by MNE."""

    path: Path
    raw: Any

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.raw.ch_names), int(self.raw.n_times)

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        if start == stop:
            return np.empty((len(picks), 0))
        try:
            with quiet():
                samples: Samples = self.raw[list(picks), start:stop][0]
        except Exception as error:  # as in `open_raw`
            raise unreadable(self.path, type(error).__name__) from None
        return np.multiply(samples, _MICROVOLTS, out=samples)


def _in_memory(signal: _InFile) -> Samples:
    data = np.empty(signal.shape, np.float32)
    with np.errstate(over="ignore"):  # values beyond float32 become infinite and are rejected later
        for channel in range(len(data)):
            data[channel] = signal.read([channel], 0, data.shape[1])[0]
    return data


def _events(raw: Any, signal: _InFile) -> tuple[Event, ...]:
    """Return annotations, else rising edges of a trigger channel, relative to the first sample."""
    events = [
        Event(round(float(onset) - raw.first_time, 6), float(duration), str(code))
        for onset, duration, code in zip(
            raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True
        )
    ]
    return tuple(sorted(events or _triggers(raw, signal), key=lambda event: event.onset))


def _triggers(raw: Any, signal: _InFile) -> list[Event]:
    """Return the rising edges of the first trigger channel."""
    stim = mne.pick_types(raw.info, meg=False, stim=True)
    if not len(stim):
        return []
    rises = rising_edges(_trigger_blocks(signal, stim[0]))
    return [Event(sample / float(raw.info["sfreq"]), 0.0, code) for sample, code in rises]


def _trigger_blocks(signal: _InFile, channel: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, signal.shape[1], _BLOCK_SAMPLES):
        stop = min(start + _BLOCK_SAMPLES, signal.shape[1])
        with np.errstate(invalid="ignore"):
            values = np.round(signal.read([channel], start, stop)[0] / _MICROVOLTS).astype(np.int64)
        yield values
