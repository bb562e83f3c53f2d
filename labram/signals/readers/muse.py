"""MuseLSL CSV: samples of an InteraXon Muse headband in µV, each with a Lab Streaming Layer time stamp."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from labram.signals.readers.errors import empty, unreadable
from labram.signals.readers.header_text import decode
from labram.signals.readers.time_stamps import longest_gap
from labram.signals.recording import Event, Recording

SFREQ = 256.0
"""Sampling rate in Hz of every Muse; time stamps are rounded to milliseconds and come in bursts."""

_BURST_SECONDS = 12 / SFREQ
"""Of samples that the radio link sends at once."""
_STAMPS = "timestamps"
_MARKER = "marker"


def recognises(path: Path) -> bool:
    """Return whether the first line is a MuseLSL header: time stamps, channels, optional markers."""
    with path.open("rb") as file:
        columns = decode(file.readline(1024)).replace('"', "").strip().split(",")
    return columns[0] == _STAMPS and len(columns) > 1


def read(path: Path) -> Recording:
    """Read a MuseLSL CSV file.

    Nonzero markers become events at their sample, so they fit the signal if time stamps have gaps; the longest gap is
    `Recording.gap_seconds`. A last line without a line break may be cut within a number: it is dropped, with the note
    ``truncated_tail``.

    Raises:
        ReadError: If cells are not numbers.
    """
    try:
        table = pd.read_csv(path, dtype=np.float64)
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            cut = file.read() not in b"\r\n"
    except (ValueError, pd.errors.ParserError):
        raise unreadable(path, "non-numeric cells") from None
    table = table.iloc[: len(table) - cut]
    signals = [name for name in table.columns if name != _STAMPS and not name.lower().startswith(_MARKER)]
    if table.empty or not signals:
        raise empty(path)
    return Recording(
        data=np.ascontiguousarray(table[signals].to_numpy().T),
        channels=tuple(signals),
        sfreq=SFREQ,
        events=_events(table),
        gap_seconds=longest_gap(table[_STAMPS].to_numpy(), SFREQ, jitter_seconds=_BURST_SECONDS),
        notes=("truncated_tail",) if cut else (),
    )


def _events(table: pd.DataFrame) -> tuple[Event, ...]:
    events = []
    for name in table.columns:
        if name.lower().startswith(_MARKER):
            values = table[name].to_numpy()
            events += [Event(int(i) / SFREQ, 0.0, f"{values[i]:g}") for i in np.flatnonzero(np.nan_to_num(values))]
    return tuple(sorted(events, key=lambda event: event.onset))
