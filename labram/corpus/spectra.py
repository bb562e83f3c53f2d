"""Spectra of a recording, segment by segment: mains, the slope that EEG has and noise has not, and kinship of channels.

Shape letters: C channels, N samples, F frequencies.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft, rfftfreq

Row = dict[str, object]

_BAND_HZ = (1.0, 45.0)
_SLOPE_HZ = (1.0, 40.0)
_LEAST_FREQUENCIES = 8
_MAINS_HALF_WIDTH_HZ = 1.0
_TINY = np.finfo(np.float32).tiny


class Spectra:
    """Sums of spectra over segments of a recording.

    Args:
        channels: C.
        rate: Samples per second.
        mains_hz: Mains frequency.
        length: Samples in a segment.
    """

    def __init__(self, channels: int, rate: float, mains_hz: float, length: int) -> None:
        self._rate, self._mains_hz = rate, mains_hz
        self._window = np.hanning(length + 2)[1:-1].astype(np.float32)
        frequency = rfftfreq(length, 1 / rate)
        self._frequency = frequency[frequency <= max(_BAND_HZ[1], mains_hz + _MAINS_HALF_WIDTH_HZ)]
        self._power = np.zeros((channels, len(self._frequency)))
        self._logarithm = np.zeros_like(self._power)
        self._correlation, self._live = np.zeros((2, channels, channels))

    def add(self, segments: NDArray[np.float32]) -> None:
        """Take n segments, float [C, n, length] in µV, finite. A channel counts where it is not constant."""
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
        """Take the segments of another sum."""
        self._power += other._power
        self._logarithm += other._logarithm
        self._correlation += other._correlation
        self._live += other._live

    def _band(self, edges: tuple[float, float]) -> NDArray[np.bool_]:
        return np.asarray((self._frequency >= edges[0]) & (self._frequency <= min(edges[1], 0.45 * self._rate)))

    def row(self) -> Row:
        """Columns of the catalogue; None where there are too few frequencies to tell."""
        rms, noise, slope, flatness = np.full((4, len(self._power)), np.nan)
        correlation: float | None = None
        counts = np.diag(self._live)
        live = counts > 0
        if self._band(_SLOPE_HZ).sum() >= _LEAST_FREQUENCIES:
            power, typical = (part[live] / counts[live, None] for part in (self._power, self._logarithm))
            rms[live], noise[live] = self._rms(np.exp(typical)), self._line_noise(power)
            slope[live], flatness[live] = self._shape(power, typical)
            both = np.ix_(live, live)
            correlation = _between(self._correlation[both] / np.maximum(self._live[both], 1))
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
        """RMS in 1-45 Hz of a typical segment; the mean logarithm of a χ² spectrum is below its mean by a factor."""
        scale = 2 * math.exp(np.euler_gamma) / (len(self._window) * float(np.square(self._window).sum()))
        rms: NDArray[np.float64] = np.sqrt(scale * power[:, self._band(_BAND_HZ)].sum(axis=1))
        return rms

    def _line_noise(self, power: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._mains_hz + _MAINS_HALF_WIDTH_HZ >= self._rate / 2:
            return np.zeros(len(power))
        mains = np.abs(self._frequency - self._mains_hz) <= _MAINS_HALF_WIDTH_HZ
        ratio: NDArray[np.float64] = power[:, mains].sum(axis=1) / (power[:, self._band(_BAND_HZ)].sum(axis=1) + _TINY)
        return ratio

    def _shape(
        self, power: NDArray[np.float64], typical: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Slope in 1-40 Hz, and how far the spectrum is from lines: mean over peak once the slope is taken out.

        Of the mean and the typical spectrum the steeper counts. Spikes flatten the one and steady muscle the other, but
        noise is flat in both.
        """
        band = self._band(_SLOPE_HZ)
        frequency = np.log(self._frequency[band])
        mean = np.log(power[:, band] + _TINY)
        slope, level = np.polyfit(frequency, mean.T, 1)
        residual = mean - slope[:, None] * frequency - level[:, None]
        flatness = 1 / np.exp(residual).mean(axis=1)
        return np.minimum(slope, np.polyfit(frequency, typical[:, band].T, 1)[0]), flatness


def unit_correction(rms_uv: float, typical_uv: float) -> float:
    """The power of 1000 that brings an amplitude nearest to what is typical; 1 where it is not known."""
    if not rms_uv > 0:
        return 1.0
    return float(1000.0 ** round(math.log(typical_uv / rms_uv, 1000)))


def _between(correlation: NDArray[np.float64]) -> float | None:
    """Median size of the correlation of a channel with another, from three channels on: two may be neighbours."""
    others = np.abs(correlation[~np.eye(len(correlation), dtype=bool)])
    return float(np.median(others)) if len(correlation) > 2 else None


def median(values: NDArray[np.float64]) -> float | None:
    """Median of what is known; None where nothing is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else None


def listed(values: NDArray[np.float64]) -> list[float | None]:
    """As a list, rounded to what a float32 holds, with None for what is unknown."""
    return [float(np.float32(value)) if math.isfinite(value) else None for value in values]
