"""FIF, MNE's format: recordings, and separate event files (``-eve.fif``)."""

from pathlib import Path
from typing import Any

import mne

from labram.errors import ReadError
from labram.signals.readers.errors import epoched, unreadable
from labram.signals.readers.fif_parts import content_files
from labram.signals.readers.with_mne import open_raw, quiet, to_recording
from labram.signals.recording import Event, Recording

_EVENT_SUFFIXES = ("-eve.fif", "_eve.fif", "-events.fif")


def is_events(path: Path) -> bool:
    """Return whether the file is an event list by MNE's naming convention."""
    return path.name.lower().endswith(_EVENT_SUFFIXES)


def read(path: Path) -> Recording:
    """Read a FIF recording with all its parts. Acquisition gaps are removed; the longest is `Recording.gap_seconds`.

    Channels that it marks as bad or as no EEG are left out (note ``channels_excluded``), unless it marks all.

    Raises:
        ReadError: EPOCHED for epochs and averages, TRUNCATED if a part of a split recording is missing, OUTSIDE if one
            is in another folder, else UNREADABLE.
    """
    parts = content_files(path)
    try:
        raw = open_raw(path, mne.io.read_raw_fif, allow_maxshield=True)
    except ReadError:
        if _content(path) in ("epochs", "evoked"):
            raise epoched(path) from None
        raise
    if [Path(name).name for name in raw.filenames] != [part.name for part in parts]:
        raise unreadable(path, "its parts do not belong together")
    kept = _kept(raw)
    notes = ("channels_excluded",) if len(kept) < len(raw.ch_names) else ()
    return to_recording(path, raw.pick(kept), gap_seconds=0.0, notes=notes)


def _kept(raw: Any) -> list[str]:
    """Return the channels without those that are marked as bad or as no EEG; all if nothing else is EEG."""
    kinds = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    kept = [name for name, kind in kinds.items() if kind in ("eeg", "stim") and name not in raw.info["bads"]]
    return kept if any(kinds[name] == "eeg" for name in kept) else list(raw.ch_names)


def _content(path: Path) -> str:
    try:
        with quiet():
            return str(mne.what(path))
    except Exception:  # as in `open_raw`
        return "unknown"


def read_events(path: Path, *, sfreq: float, first_sample: int = 0) -> tuple[Event, ...]:
    """Read the events of an ``-eve.fif`` file, coded by their decimal number.

    Args:
        path: The event file.
        sfreq: Sampling rate in Hz of the recording it belongs to.
        first_sample: Index of the recording's first sample in the event file (`raw.first_samp`).

    Raises:
        ReadError: If it cannot be read.
    """
    try:
        with quiet():
            events = mne.read_events(path, verbose="CRITICAL")
    except Exception as error:  # MNE's parsers raise arbitrary exceptions
        raise unreadable(path, type(error).__name__) from None
    return tuple(Event((int(sample) - first_sample) / sfreq, 0.0, str(code)) for sample, _, code in events)
