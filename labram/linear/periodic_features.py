"""Features of responses to periodic stimulation: filter-bank canonical correlation (FBCCA).

Chen et al. 2015, J. Neural Eng. 12, 046008: in several sub-bands, the largest canonical correlation between the
channels and sines and cosines of each stimulation frequency and its harmonics. It does not change under any invertible
mixing of the channels, so neither the amplifier's gain nor an alignment matters.

Shape letters: n windows, C channels, T samples, F frequencies, R reference signals.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfiltfilt

from labram.input_spec import SAMPLE_RATE_HZ

LOWER_EDGES_HZ = (6.0, 14.0, 22.0, 30.0)
"""Lower edges of the sub-bands: all harmonics, then without the first ones, which the alpha rhythm masks."""
UPPER_EDGE_HZ = 70.0
HARMONICS = 5
_ORDER = 4
_NO_SIGNAL = 1e-9
"""Directions with a smaller variance than this share of the largest have no signal: the montage lacks full rank."""


def canonical_correlations(signals: npt.NDArray[np.float32], frequencies: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the largest canonical correlation in each sub-band with each frequency.

    Args:
        signals: µV at 200 Hz [n, C, T], at least one second.
        frequencies: F stimulation frequencies in Hz.

    Returns:
        [n, sub-bands x F], 0 to 1.
    """
    references = [_reference(frequency, signals.shape[-1]) for frequency in frequencies]
    lowest = min(frequencies) - 1.0
    parts = []
    for edge in LOWER_EDGES_HZ:
        low = min(edge, lowest) if edge == LOWER_EDGES_HZ[0] else edge
        sections = butter(_ORDER, (max(low, 0.5), UPPER_EDGE_HZ), "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
        white_nCT = _whitened(sosfiltfilt(sections, signals, axis=-1))
        parts += [np.linalg.norm(white_nCT @ reference_RT.T, ord=2, axis=(1, 2)) for reference_RT in references]
    return np.asarray(np.minimum(np.stack(parts, axis=1), 1.0))


def _reference(frequency: float, samples: int) -> npt.NDArray[np.float64]:
    """Return an orthonormal basis [R, T] of the harmonics within the pass-band, without their means."""
    phase = 2 * np.pi * frequency * np.arange(samples) / SAMPLE_RATE_HZ
    orders = [order for order in range(1, HARMONICS + 1) if order == 1 or order * frequency < UPPER_EDGE_HZ]
    waves = np.concatenate([[np.sin(order * phase), np.cos(order * phase)] for order in orders])
    basis: npt.NDArray[np.float64] = np.linalg.qr((waves - waves.mean(axis=1, keepdims=True)).T)[0].T
    return basis


def _whitened(signals: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return channels of each window [n, C, T] as orthonormal rows; rows without signal are 0."""
    centred = signals - signals.mean(axis=-1, keepdims=True)
    values, vectors = np.linalg.eigh(centred @ centred.swapaxes(1, 2))
    largest = values[:, -1:]
    kept = (values > _NO_SIGNAL * largest) & (values > 0)
    gains = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    return np.asarray((vectors * gains[:, None, :]).swapaxes(1, 2) @ centred)
