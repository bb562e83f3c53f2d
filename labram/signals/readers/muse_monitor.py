"""Muse Monitor CSV: an app's log of an InteraXon Muse. Columns ``RAW_…`` are samples in µV, if one logs them all.

The app's default is a line a second: band powers, and one sample of the many that were.
"""

from pathlib import Path

import pandas as pd

from labram.errors import ReadError, Reason
from labram.signals.readers.errors import empty, unreadable
from labram.signals.recording import Recording

_STAMPS = "TimeStamp"
_RAW = "RAW_"
_LEAST_RATE = 100.0
"""Lines a second between the app's slow rates and the 220 or 256 samples a second of the headband."""


def recognises(path: Path) -> bool:
    """Whether the first line is a Muse Monitor header."""
    with path.open("rb") as file:
        columns = file.readline(4096).decode("latin1").strip().split(",")
    return columns[0] == _STAMPS and any(name.startswith(_RAW) for name in columns)


def read(path: Path) -> Recording:
    """Read the raw samples. The rate is that of the time stamps, which are those of lines with samples.

    Raises:
        ReadError: NOT_EEG for band powers, TOO_SHORT for less than two lines, UNREADABLE for cells of another kind.
    """
    try:
        table = pd.read_csv(path)
        signals = [name for name in table.columns if name.startswith(_RAW)]
        table = table.dropna(subset=signals)
        data = table[signals].to_numpy("float32")
        stamps = pd.to_datetime(table[_STAMPS], format="ISO8601")
    except (ValueError, pd.errors.ParserError):
        raise unreadable(path, "cells of an unknown kind") from None
    if len(stamps) < 2 or stamps.iloc[-1] <= stamps.iloc[0]:
        raise empty(path)
    steps = stamps.diff().dt.total_seconds()
    rate = (len(stamps) - 1) / float(steps.sum())
    if rate < _LEAST_RATE:
        raise ReadError(
            "holds band powers, and not the signals that they were computed of",
            reason=Reason.NOT_EEG,
            file=path.name,
            remedy="Leave it out, and log at a constant rate next time",
        )
    return Recording(
        data=data.T.copy(),
        channels=tuple(name.removeprefix(_RAW) for name in signals),
        sfreq=rate,
        gap_seconds=max(0.0, round(float(steps.max()) - 1 / rate, 3)),
    )
