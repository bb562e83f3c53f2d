"""MNE as a reader that keeps quiet: what it warns about or stumbles over may quote a header."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mne
import numpy as np

from labram.errors import ReadError, Reason
from labram.signals.recording import Event, Recording

_MICROVOLTS = 1e6


@contextmanager
def quiet() -> Iterator[None]:
    """Neither warnings nor log lines come out of this block."""
    logger = logging.getLogger("mne")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def open_raw(path: Path, opener: Callable[..., Any], **options: Any) -> Any:
    """An `mne.io.Raw` with its samples in memory.

    Raises:
        ReadError: If MNE fails, for whatever reason; what MNE says is withheld.
    """
    try:
        with quiet():
            return opener(path, preload=True, verbose="CRITICAL", **options)
    except Exception as error:  # MNE raises whatever its parsers meet, bare `Exception` included
        raise unreadable(path, type(error).__name__) from None


def unreadable(path: Path, cause: str) -> ReadError:
    """The error for a file whose structure cannot be followed. `cause` must not hold text of the file."""
    return ReadError(
        f"cannot be read as {path.suffix.lstrip('.').upper()} ({cause})",
        reason=Reason.UNREADABLE,
        file=path.name,
        remedy="Fetch or export the file again",
    )


def to_recording(
    path: Path, raw: Any, *, channels: tuple[str, ...] | None = None, notes: tuple[str, ...] = ()
) -> Recording:
    """What an `mne.io.Raw` holds, in µV.

    Args:
        path: The file, for error messages.
        raw: Preloaded.
        channels: Labels as in the file, where MNE renamed repeated ones.
        notes: Passed on.

    Raises:
        ReadError: If it holds no signal.
    """
    data = raw.get_data()
    if not data.size:
        raise ReadError("holds no samples", reason=Reason.TOO_SHORT, file=path.name, remedy="Leave it out")
    return Recording(
        data=np.multiply(data, _MICROVOLTS, out=data),
        channels=channels or tuple(raw.ch_names),
        rate=float(raw.info["sfreq"]),
        events=_events(raw),
        notes=notes,
    )


def _events(raw: Any) -> tuple[Event, ...]:
    """Annotations, else the rising values of a trigger channel. MNE counts both from before the first sample."""
    events = [
        Event(round(float(onset) - raw.first_time, 6), float(duration), str(code))
        for onset, duration, code in zip(
            raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True
        )
    ]
    return tuple(sorted(events or _triggers(raw), key=lambda event: event.onset))


def _triggers(raw: Any) -> list[Event]:
    stim = mne.pick_types(raw.info, meg=False, stim=True)
    if not len(stim):
        return []
    with quiet():
        found = mne.find_events(
            raw, stim_channel=raw.ch_names[stim[0]], shortest_event=1, mask=0xFFFF, mask_type="and", verbose="CRITICAL"
        )
    return [
        Event((int(sample) - raw.first_samp) / float(raw.info["sfreq"]), 0.0, str(value)) for sample, _, value in found
    ]
