"""Spectral quality metrics over segments: amplitude, aperiodic (1/f) slope, flatness, inter-channel correlation.

Shape letters: C channels, N samples, F frequencies.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft, rfftfreq

from labram.corpus.line_noise import HALF_WIDTH_HZ, line_noise_ratio
from labram.signals.filters import EEG_BAND_HZ

Row = dict[str, object]

_SLOPE_HZ = (1.0, 40.0)
_MIN_FREQUENCIES = 8
_TINY = np.finfo(np.float32).tiny


class Spectra:
    """Spectra summed over segments of a recording.

    Args:
        channels: C.
        sfreq: Sampling rate in Hz.
        line_freq_hz: Line frequency.
        length: Samples in a segment.
    """

    def __init__(self, channels: int, sfreq: float, line_freq_hz: float, length: int) -> None:
        self._sfreq, self._line_freq_hz = sfreq, line_freq_hz
        self._window = np.hanning(length + 2)[1:-1].astype(np.float32)
        frequency = rfftfreq(length, 1 / sfreq)
        self._frequency = frequency[frequency <= max(EEG_BAND_HZ[1], line_freq_hz + HALF_WIDTH_HZ)]
        self._power = np.zeros((channels, len(self._frequency)))
        self._logarithm = np.zeros_like(self._power)
        self._correlation, self._live = np.zeros((2, channels, channels))

    def add(self, segments: NDArray[np.float32]) -> None:
        """Add n segments, float [C, n, length] in µV, finite. Constant channels do not count."""
        centred = segments - segments.mean(axis=2, keepdims=True)
        centred *= self._window
        spectrum = rfft(centred, axis=2)[:, :, : len(self._frequency)]
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        band = spectrum[:, :, self._band(_SLOPE_HZ)]
        parts = np.concatenate([band.real, band.imag], axis=2)
        size = np.sqrt(np.square(parts).sum(axis=2, keepdims=True))
        parts /= size + _TINY
        live = size > _TINY
        self._power += power.sum(axis=1)
        self._logarithm += np.log(power + _TINY).sum(axis=1, where=live)
        self._correlation += np.tensordot(parts, parts, ((1, 2), (1, 2)))
        self._live += live[:, :, 0].astype(np.float64) @ live[:, :, 0].T

    def merge(self, other: "Spectra") -> None:
        """Add the sums of another object."""
        self._power += other._power
        self._logarithm += other._logarithm
        self._correlation += other._correlation
        self._live += other._live

    def _band(self, edges: tuple[float, float]) -> NDArray[np.bool_]:
        return np.asarray((self._frequency >= edges[0]) & (self._frequency <= min(edges[1], 0.45 * self._sfreq)))

    def row(self) -> Row:
        """Return catalogue columns; None if there are too few frequencies, or no channel has a finite spectrum."""
        rms, noise, slope, flatness = np.full((4, len(self._power)), np.nan)
        correlation: float | None = None
        counts = np.diag(self._live)
        live = (counts > 0) & np.isfinite(self._power).all(axis=1) & np.isfinite(self._logarithm).all(axis=1)
        if self._band(_SLOPE_HZ).sum() >= _MIN_FREQUENCIES:
            power, typical = (part[live] / counts[live, None] for part in (self._power, self._logarithm))
            rms[live], noise[live] = self._rms(np.exp(typical)), self._line_noise(power)
            slope[live], flatness[live] = self._shape(power, typical)
            pairs = np.ix_(live, live)
            correlation = _median_correlation(self._correlation[pairs] / np.maximum(self._live[pairs], 1))
        return {
            "band_rms_uv": median(rms),
            "line_noise_ratio": median(noise),
            "channel_line_noise_ratio": listed(noise),
            "psd_slope": median(slope),
            "channel_psd_slope": listed(slope),
            "spectral_flatness": median(flatness),
            "channel_correlation": correlation,
        }

    def _rms(self, power: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the RMS in 1-45 Hz of a typical segment, corrected for the mean logarithm of a χ² spectrum."""
        scale = 2 * math.exp(np.euler_gamma) / (len(self._window) * float(np.square(self._window).sum()))
        rms: NDArray[np.float64] = np.sqrt(scale * power[:, self._band(EEG_BAND_HZ)].sum(axis=1))
        return rms

    def _line_noise(self, power: NDArray[np.float64]) -> NDArray[np.float64]:
        return line_noise_ratio(
            power,
            self._frequency,
            line_freq_hz=self._line_freq_hz,
            sfreq=self._sfreq,
            band=self._band(EEG_BAND_HZ),
        )

    def _shape(
        self, power: NDArray[np.float64], typical: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the slope in 1-40 Hz, and the spectral flatness after the slope is removed.

        The steeper slope of the mean and the geometric mean spectrum counts: spikes flatten the one, steady muscle
        activity the other, and noise is flat in both.
        """
        band = self._band(_SLOPE_HZ)
        frequency = np.log(self._frequency[band])
        mean = np.log(power[:, band] + _TINY)
        slope, level = np.polyfit(frequency, mean.T, 1)
        residual = mean - slope[:, None] * frequency - level[:, None]
        flatness = 1 / np.exp(residual).mean(axis=1)
        return np.minimum(slope, np.polyfit(frequency, typical[:, band].T, 1)[0]), flatness


def unit_correction(rms_uv: float, typical_uv: float) -> float:
    """Return the power of 1000 that brings an amplitude nearest to the typical one; 1 if the amplitude is unknown."""
    if not 0 < rms_uv < math.inf:
        return 1.0
    return float(1000.0 ** round(math.log(typical_uv / rms_uv, 1000)))


def _median_correlation(correlation: NDArray[np.float64]) -> float | None:
    """Return the median absolute correlation of two channels; None below three channels, which may be neighbours."""
    others = np.abs(correlation[~np.eye(len(correlation), dtype=bool)])
    return float(np.median(others)) if len(correlation) > 2 else None


def median(values: NDArray[np.float64]) -> float | None:
    """Return the median of the finite values; None if there are none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None


def listed(values: NDArray[np.float64]) -> list[float | None]:
    """Return the values as a list, rounded to float32, with None for values that are not finite."""
    return [float(np.float32(value)) if math.isfinite(value) else None for value in values]
