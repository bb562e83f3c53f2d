"""Line noise of a recording: power at the line frequency relative to the power of the EEG band.

Shape letters: C channels, F frequencies.
"""

import numpy as np
from numpy.typing import NDArray

HALF_WIDTH_HZ = 1.0
_TINY = np.finfo(np.float32).tiny


def line_noise_ratio(
    power: NDArray[np.float64],
    frequency: NDArray[np.float64],
    *,
    line_freq_hz: float,
    sfreq: float,
    band: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return the ratio of each channel [C]; 0 if the line frequency is above the Nyquist frequency.

    Args:
        power: Mean power spectrum [C, F].
        frequency: Frequencies [F] in Hz.
        line_freq_hz: Line frequency where the recording was made.
        sfreq: Sampling rate in Hz.
        band: Which frequencies are the EEG band [F].
    """
    if line_freq_hz + HALF_WIDTH_HZ >= sfreq / 2:
        return np.zeros(len(power))
    line = np.abs(frequency - line_freq_hz) <= HALF_WIDTH_HZ
    ratio: NDArray[np.float64] = power[:, line].sum(axis=1) / (power[:, band].sum(axis=1) + _TINY)
    return ratio
