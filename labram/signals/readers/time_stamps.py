"""Pauses of a recording, by the time stamps of its samples."""

import numpy as np
from numpy.typing import ArrayLike


def longest_gap(stamps: ArrayLike, sfreq: float, *, jitter_seconds: float | None = None) -> float | None:
    """Return the longest pause in seconds; 0 if there is none, None if the time stamps do not tell.

    A sample without a finite time stamp says nothing: a pause is looked for between those before and after it.

    Args:
        stamps: Seconds, one for each sample.
        sfreq: Sampling rate in Hz.
        jitter_seconds: Deviation of time stamps that is no pause; default: one sample.
    """
    times = np.asarray(stamps, np.float64)
    finite = np.flatnonzero(np.isfinite(times))
    if len(finite) < 2:
        return None
    longest = float((np.abs(np.diff(times[finite])) - np.diff(finite) / sfreq).max())
    if longest > (1 / sfreq if jitter_seconds is None else jitter_seconds):
        return round(longest, 3)
    return 0.0 if finite[-1] - finite[0] == len(times) - 1 else None
