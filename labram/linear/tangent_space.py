"""Riemannian tangent space of the channels' covariances, whole or in frequency bands.

Barachant et al. 2012, IEEE Trans. Biomed. Eng. 59(4), 920-928; recentred within each subject without labels: Zanini et
al. 2018, IEEE Trans. Biomed. Eng. 65(5), 1107-1116. Means and logarithms are those of pyriemann.

Shape letters: n windows, C channels, T samples, F bands, K = F C (C + 1) / 2 features.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from labram.input_spec import SAMPLE_RATE_HZ
from labram.signals.filters import EEG_BAND_HZ

Array = npt.NDArray[np.float64]
WHOLE: tuple[tuple[float, float], ...] = (EEG_BAND_HZ,)
SHRINKAGE = 0.01
"""Weight of a multiple of the identity, for montages without full rank: that of Euclidean alignment."""
SMALLEST_VARIANCE = 1e-6
"""µV², far below amplifier noise, added to every channel: a flat channel has a logarithm."""


def band_covariances(signals: npt.NDArray[np.float32], bands: Sequence[tuple[float, float]]) -> npt.NDArray[np.float32]:
    """Return the covariance of the channels in each frequency band, from the cross-spectrum of Hann-windowed signals.

    Args:
        signals: µV at 200 Hz [n, C, T], at least one second.
        bands: F pairs of lower and upper edge in Hz, the upper one excluded.

    Returns:
        Symmetric positive definite matrices in µV² [n, F, C, C].
    """
    n, channels, samples = signals.shape
    taper = np.hanning(samples)
    spectra_nCH = np.fft.rfft((signals - signals.mean(axis=-1, keepdims=True)) * taper, axis=-1)
    hz = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE_HZ)
    power = 2 / (samples * np.sum(taper**2))
    covariances = np.empty((n, len(bands), channels, channels), np.float32)
    for band, (low, high) in enumerate(bands):
        inside = spectra_nCH[..., (low <= hz) & (hz < high)]
        whole = (inside @ inside.conj().swapaxes(1, 2)).real * power
        mean = np.trace(whole, axis1=1, axis2=2)[:, None, None] / channels
        identity = np.eye(channels)
        covariances[:, band] = (1 - SHRINKAGE) * whole + (SHRINKAGE * mean + SMALLEST_VARIANCE) * identity
    return covariances


def tangent_features(covariances: npt.NDArray[np.float32]) -> Array:
    """Return the matrix logarithms of covariances [n, F, C, C] as vectors [n, K]."""
    from pyriemann.geometry.tangentspace import tangent_space

    identity = np.eye(covariances.shape[-1])
    bands = covariances.astype(np.float64).swapaxes(0, 1)
    return np.concatenate([np.asarray(tangent_space(band, identity)) for band in bands], axis=1)


def recentred_features(covariances: npt.NDArray[np.float32], subjects: npt.NDArray[np.object_]) -> Array:
    """Return tangent vectors [n, K] at the Riemannian mean of each subject's own covariances [n, F, C, C]."""
    from pyriemann.geometry.mean import mean_riemann
    from pyriemann.geometry.tangentspace import tangent_space

    n, bands, channels, _ = covariances.shape
    width = channels * (channels + 1) // 2
    features = np.empty((n, bands * width))
    for rows in pd.Series(range(n)).groupby(subjects).indices.values():
        for band in range(bands):
            ours = covariances[rows, band].astype(np.float64)
            centre = mean_riemann(ours, tol=1e-6)
            features[rows, band * width : (band + 1) * width] = tangent_space(ours, centre)
    return features
