"""What the quality rules judge: figures of a recording before and after preprocessing.

Shape letters: C channels, S seconds; a patch has 200 samples.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch

from labram.corpus.store import LIMIT_UV, RATE_HZ

_BAND_HZ = (1.0, 45.0)
_SLOPE_HZ = (2.0, 30.0)
_MAINS_HALF_WIDTH_HZ = 1.0
_SEGMENT_SECONDS = 4
_LONGEST_SECONDS = 600
"""Spectra are taken of the middle of a recording, so that a day of EEG costs what ten minutes cost."""
_TINY = 1e-12


def channel_sd(patches: NDArray[np.float16]) -> NDArray[np.float64]:
    """SD in µV of each channel over the recording, float64 [C], of patches float16 [S, C, 200]."""
    mean = patches.mean(axis=(0, 2), dtype=np.float64)
    power = np.zeros_like(mean)
    for second in patches:
        power += np.square(second, dtype=np.float64).sum(axis=1)
    samples = patches.shape[0] * patches.shape[2]
    sd: NDArray[np.float64] = np.sqrt(np.maximum(power / samples - mean**2, 0.0))
    return sd


def clipped_samples(patches: NDArray[np.float16]) -> int:
    """Values at the limit to which the store clips, of patches float16 [S, C, 200]."""
    limit = np.float16(LIMIT_UV)
    return sum(int(np.count_nonzero(np.abs(second) >= limit)) for second in patches)


def psd_slope(patches: NDArray[np.float16]) -> float:
    """Slope of log power over log frequency in 2-30 Hz, median over channels; EEG has about -1 to -2, white noise 0."""
    middle = _middle(patches.shape[0], 1.0)
    signal = patches[middle].astype(np.float32).transpose(1, 0, 2).reshape(patches.shape[1], -1)
    frequency, power = _spectrum(signal, RATE_HZ)
    band = (frequency >= _SLOPE_HZ[0]) & (frequency <= _SLOPE_HZ[1])
    slopes = np.polyfit(np.log(frequency[band]), np.log(power[:, band] + _TINY).T, 1)[0]
    return float(np.median(slopes))


def line_noise_ratio(signal: NDArray[np.float64] | NDArray[np.float32], rate: float, mains_hz: float) -> float:
    """Power within 1 Hz of mains over power in 1-45 Hz, median over channels.

    Args:
        signal: Signals [C, samples] before any filter.
        rate: Samples per second.
        mains_hz: Mains frequency. Where it is beyond half the rate, the result is 0.
    """
    if mains_hz + _MAINS_HALF_WIDTH_HZ >= rate / 2:
        return 0.0
    frequency, power = _spectrum(signal[:, _middle(signal.shape[1], rate)], rate)
    mains = np.abs(frequency - mains_hz) <= _MAINS_HALF_WIDTH_HZ
    band = (frequency >= _BAND_HZ[0]) & (frequency <= _BAND_HZ[1])
    return float(np.median(power[:, mains].sum(axis=1) / (power[:, band].sum(axis=1) + _TINY)))


def _middle(length: int, per_second: float) -> slice:
    longest = round(_LONGEST_SECONDS * per_second)
    start = max(0, (length - longest) // 2)
    return slice(start, start + longest)


def _spectrum(
    signal: NDArray[np.float64] | NDArray[np.float32], rate: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies in Hz and power density [C, frequencies]."""
    frequency, power = welch(signal, rate, nperseg=min(signal.shape[1], round(_SEGMENT_SECONDS * rate)), axis=1)
    return np.asarray(frequency, dtype=np.float64), np.asarray(power, dtype=np.float64)
