"""Muse Monitor CSV: an app's log of an InteraXon Muse. Columns ``RAW_…`` are samples in µV.

By default the app logs one line per second, band powers and a single sample, which is no EEG signal.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from labram.errors import ReadError, Reason
from labram.signals.readers.errors import empty, unreadable
from labram.signals.readers.header_text import decode
from labram.signals.readers.time_stamps import longest_gap
from labram.signals.recording import Recording

_STAMPS = "TimeStamp"
_RAW = "RAW_"
_PAUSE_SECONDS = 0.25
"""Longer steps between time stamps are pauses; the headband sends packets every 50 ms."""
_MIN_SFREQ = 100.0
"""Threshold in Hz between the app's slow logging intervals and the headband's 220 or 256 Hz."""


def recognises(path: Path) -> bool:
    """Return whether the first line is a Muse Monitor header."""
    with path.open("rb") as file:
        columns = decode(file.readline(4096)).replace('"', "").strip().split(",")
    return columns[0] == _STAMPS and any(name.startswith(_RAW) for name in columns)


def read(path: Path) -> Recording:
    """Read the raw samples. The time stamps of lines with samples determine the sampling rate, pauses left out.

    Raises:
        ReadError: NOT_EEG for band powers, TOO_SHORT for less than two lines, UNREADABLE for invalid cells.
    """
    try:
        table = pd.read_csv(path)
        signals = [name for name in table.columns if name.startswith(_RAW)]
        table = table.dropna(subset=signals)
        data = table[signals].to_numpy("float32")
        stamps = pd.to_datetime(table[_STAMPS], format="ISO8601")
    except (ValueError, pd.errors.ParserError):
        raise unreadable(path, "invalid cells") from None
    seconds = (stamps - stamps.min()).dt.total_seconds().to_numpy()
    steps = np.diff(seconds)
    steps = steps[np.isfinite(steps)]
    if not steps.sum() > 0:
        raise empty(path)
    sampled = steps[np.abs(steps) <= _PAUSE_SECONDS]
    sfreq = len(sampled) / float(sampled.sum()) if sampled.sum() > 0 else len(steps) / float(steps.sum())
    if sfreq < _MIN_SFREQ:
        raise ReadError(
            "contains band powers instead of signals",
            reason=Reason.NOT_EEG,
            file=path.name,
            remedy="Remove the file from the corpus; set the recording interval to constant for the next recording",
        )
    return Recording(
        data=data.T.copy(),
        channels=tuple(name.removeprefix(_RAW) for name in signals),
        sfreq=sfreq,
        gap_seconds=longest_gap(seconds, sfreq, jitter_seconds=_PAUSE_SECONDS),
    )
