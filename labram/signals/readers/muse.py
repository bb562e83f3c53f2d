"""MuseLSL CSV: what an InteraXon Muse headband sent over Lab Streaming Layer, in µV, with a time stamp a sample."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from labram.signals.readers.errors import empty, unreadable
from labram.signals.recording import Event, Recording

RATE = 256.0
"""Samples per second of every Muse that MuseLSL records; time stamps are rounded to milliseconds and come in bursts."""

_STAMPS = "timestamps"
_MARKER = "marker"


def recognises(path: Path) -> bool:
    """Whether the first line is a MuseLSL header: time stamps, channels, perhaps markers."""
    with path.open("rb") as file:
        columns = file.readline(1024).decode("latin1").strip().split(",")
    return columns[0] == _STAMPS and len(columns) > 1


def read(path: Path) -> Recording:
    """Read a MuseLSL CSV file.

    Events lie at their sample, so that they fit the signal where time stamps have holes; the longest hole is
    `Recording.gap_seconds`. Markers other than 0 are events, coded by their whole number. A last line without an end
    was cut, perhaps within a number: it is left out, with the note ``truncated_tail``.

    Raises:
        ReadError: If cells are not numbers, or time runs backwards.
    """
    try:
        table = pd.read_csv(path, dtype=np.float64)
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            cut = file.read() not in b"\r\n"
    except (ValueError, pd.errors.ParserError):
        raise unreadable(path, "cells that are not numbers") from None
    table = table.iloc[: len(table) - cut]
    signals = [name for name in table.columns if name != _STAMPS and not name.lower().startswith(_MARKER)]
    if table.empty or not signals:
        raise empty(path)
    return Recording(
        data=np.ascontiguousarray(table[signals].to_numpy().T),
        channels=tuple(signals),
        sfreq=RATE,
        events=_events(table),
        gap_seconds=_longest_hole(table[_STAMPS].to_numpy()),
        notes=("truncated_tail",) if cut else (),
    )


def _events(table: pd.DataFrame) -> tuple[Event, ...]:
    events = []
    for name in table.columns:
        if name.lower().startswith(_MARKER):
            values = table[name].to_numpy()
            events += [Event(int(i) / RATE, 0.0, f"{values[i]:g}") for i in np.flatnonzero(np.nan_to_num(values))]
    return tuple(sorted(events, key=lambda event: event.onset))


def _longest_hole(stamps_s: np.ndarray) -> float:
    """Longest time between neighbours beyond one sample; 0 below one burst of the radio link's 12 samples."""
    if len(stamps_s) < 2:
        return 0.0
    hole = float(np.nanmax(np.abs(np.diff(stamps_s)))) - 1 / RATE
    return round(hole, 3) if hole > 12 / RATE else 0.0
