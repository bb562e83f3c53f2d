"""Spectra of a recording, block by block: mains, the slope that EEG has and noise has not, and kinship of channels.

Shape letters: C channels, N samples, F frequencies.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft, rfftfreq

Row = dict[str, object]

_MOST_SEGMENTS = 32
"""Spectra of one to two minutes, spread over the recording: a day costs little more than that."""
_BAND_HZ = (1.0, 45.0)
_SLOPE_HZ = (1.0, 40.0)
_LEAST_FREQUENCIES = 8
_MAINS_HALF_WIDTH_HZ = 1.0
_TINY = np.finfo(np.float32).tiny


@dataclass
class _Sums:
    """Sums over the segments in which a channel is alive: power and its logarithm [C, F], correlation [C, C].

    `live` [C, C] counts the segments of each pair of channels, and on its diagonal those of each channel.
    """

    power: NDArray[np.float64]
    logarithm: NDArray[np.float64]
    correlation: NDArray[np.float64]
    live: NDArray[np.float64]
    segments: int = 0

    @classmethod
    def none(cls, channels: int, frequencies: int) -> "_Sums":
        shape, square = (channels, frequencies), (channels, channels)
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(square), np.zeros(square))


class Spectra:
    """Spectra of segments spread evenly over a recording whose length is not known before its end.

    Segment `i` belongs to the rank of how often two divides `i`. When there are too many, the lowest rank, which is
    half of them, is given up: what is left are every second, then every fourth, …
    """

    def __init__(self, channels: int, rate: float, mains_hz: float) -> None:
        self._channels, self._rate, self._mains_hz = channels, rate, mains_hz
        self._ranks: dict[int, _Sums] = {}
        self._seen = self._lowest = 0
        self._window = np.empty(0, np.float32)
        self._frequency = np.empty(0)

    def take(self, segment: NDArray[np.float32]) -> None:
        """Take the next segment, float [C, N] in µV, finite; all are of one length but the last."""
        rank = _twos(self._seen)
        self._seen += 1
        if rank < self._lowest:
            return
        if segment.shape[1] != len(self._window):
            if self._ranks:  # the end of a recording is shorter than a segment
                return
            self._window = np.hanning(segment.shape[1] + 2)[1:-1].astype(np.float32)
            frequency = rfftfreq(segment.shape[1], 1 / self._rate)
            self._frequency = frequency[frequency <= max(_BAND_HZ[1], self._mains_hz + _MAINS_HALF_WIDTH_HZ)]
        self._add(segment, rank)
        if sum(sums.segments for sums in self._ranks.values()) > _MOST_SEGMENTS:
            self._ranks.pop(self._lowest, None)
            self._lowest += 1

    def _add(self, segment: NDArray[np.float32], rank: int) -> None:
        spectrum = rfft((segment - segment.mean(axis=1, keepdims=True)) * self._window, axis=1)
        spectrum = spectrum[:, : len(self._frequency)]
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        band = spectrum[:, self._band(_SLOPE_HZ)]
        parts = np.concatenate([band.real, band.imag], axis=1)
        size = np.sqrt(np.square(parts).sum(axis=1, keepdims=True))
        parts /= size + _TINY
        live = (size > _TINY).astype(np.float64)
        sums = self._ranks.setdefault(rank, _Sums.none(self._channels, len(self._frequency)))
        sums.power += power
        sums.logarithm += live * np.log(power + _TINY)
        sums.correlation += parts @ parts.T
        sums.live += live @ live.T
        sums.segments += 1

    def _band(self, edges: tuple[float, float]) -> NDArray[np.bool_]:
        return np.asarray((self._frequency >= edges[0]) & (self._frequency <= min(edges[1], 0.45 * self._rate)))

    def row(self) -> Row:
        """Columns of the catalogue; None where there are too few frequencies to tell."""
        rms, noise, slope, flatness = np.full((4, self._channels), np.nan)
        correlation: float | None = None
        if self._ranks and self._band(_SLOPE_HZ).sum() >= _LEAST_FREQUENCIES:
            total = self._total()
            counts = np.diag(total.live)
            live = counts > 0
            power, typical = (part[live] / counts[live, None] for part in (total.power, total.logarithm))
            rms[live], noise[live] = self._rms(np.exp(typical)), self._line_noise(power)
            slope[live], flatness[live] = self._shape(power, typical)
            both = np.ix_(live, live)
            correlation = _between(total.correlation[both] / np.maximum(total.live[both], 1))
        return {
            "band_rms_uv": median(rms),
            "line_noise_ratio": median(noise),
            "channel_line_noise_ratio": listed(noise),
            "psd_slope": median(slope),
            "channel_psd_slope": listed(slope),
            "spectral_flatness": median(flatness),
            "channel_correlation": correlation,
        }

    def _total(self) -> _Sums:
        parts = list(self._ranks.values())
        return _Sums(
            sum((part.power for part in parts), np.zeros(())),
            sum((part.logarithm for part in parts), np.zeros(())),
            sum((part.correlation for part in parts), np.zeros(())),
            sum((part.live for part in parts), np.zeros(())),
        )

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


def _twos(number: int) -> int:
    """How often two divides a number; for 0, more often than any."""
    return (number & -number).bit_length() - 1 if number else 64


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
