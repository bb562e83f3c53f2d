"""What the quality rules judge: figures of a recording before and after preprocessing.

`Figures` is fed the blocks that an ingest passes through anyway, and keeps sums and counts; beyond those, 80 bytes for
a second of recording. Figures before preprocessing tell of the recorder; what is lost, held or saturated there, filters
smooth over.

Shape letters: C channels, S seconds, N samples, F frequencies; a patch has 200 samples.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft, rfftfreq
from scipy.signal import welch

from labram.corpus.store import LIMIT_UV, RATE_HZ

Samples = NDArray[np.float32] | NDArray[np.float64]
Row = dict[str, object]

_SEGMENT_SECONDS = 4
_MOST_SEGMENTS = 32
"""Spectra of one to two minutes, spread over the recording: a day costs little more than that."""
_BAND_HZ = (1.0, 45.0)
_SLOPE_HZ = (2.0, 30.0)
_LEAST_FREQUENCIES = 8
_MAINS_HALF_WIDTH_HZ = 1.0
_HELD_RATE_HZ = 1000.0
"""Above this rate samples are left out before repeats are counted: a fast recorder's neighbours are equal by right."""
_AMPLITUDE_STRIDE = 4
_AMPLITUDE_BITS = 5
_AMPLITUDES = 1 << (15 - _AMPLITUDE_BITS)
_SECONDS_AT_ONCE = 16
_LIMIT = np.float16(LIMIT_UV)
_BIN_SAMPLES = 10
_HASHED_BINS = 32
_HASH_STEP = 0.5
_TINY = np.finfo(np.float32).tiny


class Figures:
    """Figures of one recording, from its blocks.

    Args:
        montage: The C canonical channel names, in the order of the blocks.
        rate_hz: Sampling rate of the unfiltered blocks.
        mains_hz: Mains frequency where it was recorded.
    """

    def __init__(self, montage: Sequence[str], rate_hz: float, mains_hz: float) -> None:
        self._raw = _Raw(len(montage), rate_hz, mains_hz)
        self._stored = _Stored(montage)

    def raw(self, block: Samples) -> None:
        """Take the next unfiltered block, float [C, N] in µV; N may differ from block to block."""
        self._raw.take(np.asarray(block, np.float32))

    def patches(self, block: NDArray[np.float16]) -> None:
        """Take the next block of what is stored, float16 [S, C, 200] in µV."""
        self._stored.take(block)

    def row(self) -> Row:
        """Columns of the catalogue; None where the recording is too short or too slow to tell."""
        return {**self._raw.row(), **self._stored.row()}


class _Raw:
    """Figures before preprocessing, taken segment by segment."""

    def __init__(self, channels: int, rate: float, mains_hz: float) -> None:
        self._rate, self._second = rate, max(1, round(rate))
        self._stride = max(1, round(rate / _HELD_RATE_HZ))
        self._rest = np.empty((channels, 0), np.float32)
        self._samples = self._compared = self._seconds = self._dead = 0
        self._missing, self._held, self._flat = np.zeros((3, channels), np.int64)
        self._top, self._bottom = _Extreme(np.full(channels, -np.inf)), _Extreme(np.full(channels, np.inf))
        self._spectra = _Spectra(channels, rate, mains_hz)

    def take(self, block: NDArray[np.float32]) -> None:
        signal = np.concatenate([self._rest, block], axis=1) if self._rest.size else block
        length = _SEGMENT_SECONDS * self._second
        whole = signal.shape[1] // length * length
        for start in range(0, whole, length):
            self._take_segment(signal[:, start : start + length])
        self._rest = signal[:, whole:].copy()

    def _take_segment(self, segment: NDArray[np.float32]) -> None:
        starts = np.arange(0, max(1, segment.shape[1] - self._second + 1), self._second)
        most, least = (extreme.reduceat(segment, starts, axis=1) for extreme in (np.maximum, np.minimum))
        if not np.isfinite(most - least).all():
            self._missing += np.count_nonzero(~np.isfinite(segment), axis=1)
            return
        still = most == least
        self._flat += still.sum(axis=1)
        self._dead += int(still.all(axis=0).sum())
        self._seconds += len(starts)
        self._top.take(segment, most.max(axis=1))
        self._bottom.take(segment, least.min(axis=1))
        thinned = segment[:, :: self._stride]
        self._held += np.count_nonzero(thinned[:, 1:] == thinned[:, :-1], axis=1)
        self._samples += segment.shape[1]
        self._compared += thinned.shape[1] - 1
        self._spectra.take(segment)

    def row(self) -> Row:
        if self._rest.shape[1] >= min(self._second, 2):
            self._take_segment(self._rest)
            self._rest = self._rest[:, :0]
        live = self._flat < self._seconds
        held = self._held / max(1, self._compared)
        saturated = np.maximum(self._top.repeats, self._bottom.repeats) / max(1, self._samples)
        return {
            "missing_samples": int(self._missing.sum()),
            "channel_missing_samples": self._missing.tolist(),
            "dead_seconds": self._dead,
            "channel_flat_fraction": _listed(self._flat / max(1, self._seconds)),
            "held_fraction": _median(np.where(live, held, np.nan)),
            "channel_saturated_fraction": _listed(np.where(live, saturated, 0.0)),
            **self._spectra.row(),
        }


class _Extreme:
    """How often each channel repeats its largest, or smallest, value: an amplifier at its limit stays there."""

    def __init__(self, start: NDArray[np.float64]) -> None:
        self._values, self._direction = start, -np.sign(start[0])
        self.repeats = np.zeros(len(start), np.int64)

    def take(self, segment: NDArray[np.float32], extreme: NDArray[np.float32]) -> None:
        beyond = self._direction * (extreme - self._values)
        self.repeats[beyond > 0] = 0
        self._values = np.where(beyond > 0, extreme, self._values)
        reached = np.flatnonzero(beyond >= 0)
        there = segment[reached] == extreme[reached, None]
        self.repeats[reached] += np.count_nonzero(there[:, 1:] & there[:, :-1], axis=1)


@dataclass
class _Sums:
    """Sums over segments: power and its logarithm [C, F], correlation between channels [C, C]."""

    power: NDArray[np.float64]
    logarithm: NDArray[np.float64]
    correlation: NDArray[np.float64]
    segments: int = 0


class _Spectra:
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
        shape = (self._channels, len(self._frequency))
        sums = self._ranks.setdefault(
            rank, _Sums(np.zeros(shape), np.zeros(shape), np.zeros((self._channels, self._channels)))
        )
        sums.power += power
        sums.logarithm += np.log(power + _TINY)
        band = spectrum[:, self._band(_SLOPE_HZ)]
        parts = np.concatenate([band.real, band.imag], axis=1)
        parts /= np.sqrt(np.square(parts).sum(axis=1, keepdims=True)) + _TINY
        sums.correlation += parts @ parts.T
        sums.segments += 1

    def _band(self, edges: tuple[float, float]) -> NDArray[np.bool_]:
        return np.asarray((self._frequency >= edges[0]) & (self._frequency <= min(edges[1], 0.45 * self._rate)))

    def row(self) -> Row:
        segments = sum(sums.segments for sums in self._ranks.values())
        nothing = np.full(self._channels, np.nan)
        noise = slope = flatness = rms = nothing
        correlation: float | None = None
        if segments and self._band(_SLOPE_HZ).sum() >= _LEAST_FREQUENCIES:
            power = np.sum([sums.power for sums in self._ranks.values()], axis=0) / segments
            typical = np.sum([sums.logarithm for sums in self._ranks.values()], axis=0) / segments
            live = power[:, self._band(_SLOPE_HZ)].max(axis=1) > _TINY
            rms = np.where(live, self._rms(np.exp(typical)), np.nan)
            noise = np.where(live, self._line_noise(power), np.nan)
            slope, flatness = (np.where(live, part, np.nan) for part in self._shape(power, typical))
            matrix = np.sum([sums.correlation for sums in self._ranks.values()], axis=0) / segments
            correlation = _between(matrix[np.ix_(live, live)])
        return {
            "band_rms_uv": _median(rms),
            "line_noise_ratio": _median(noise),
            "channel_line_noise_ratio": _listed(noise),
            "psd_slope": _median(slope),
            "channel_psd_slope": _listed(slope),
            "spectral_flatness": _median(flatness),
            "channel_correlation": correlation,
        }

    def _rms(self, power: NDArray[np.float64]) -> NDArray[np.float64]:
        """RMS in 1-45 Hz of a typical segment; the mean logarithm of a χ² spectrum is below its mean by a factor."""
        scale = 2 * math.exp(np.euler_gamma) / (len(self._window) * float(np.square(self._window).sum()))
        rms: NDArray[np.float64] = np.sqrt(scale * power[:, self._band(_BAND_HZ)].sum(axis=1))
        return rms

    def _line_noise(self, power: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._mains_hz + _MAINS_HALF_WIDTH_HZ >= self._rate / 2:
            return np.zeros(self._channels)
        mains = np.abs(self._frequency - self._mains_hz) <= _MAINS_HALF_WIDTH_HZ
        ratio: NDArray[np.float64] = power[:, mains].sum(axis=1) / (power[:, self._band(_BAND_HZ)].sum(axis=1) + _TINY)
        return ratio

    def _shape(
        self, power: NDArray[np.float64], typical: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Slope in 2-30 Hz, and how far the spectrum is from lines: mean over peak once the slope is taken out.

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


class _Stored:
    """Figures of what is stored, after preprocessing."""

    def __init__(self, montage: Sequence[str]) -> None:
        channels = len(montage)
        order = np.argsort(np.asarray(montage))
        self._signs = np.empty(channels, np.float32)
        self._signs[order] = np.where(np.arange(channels) % 2, -1, 1)
        self._sum, self._squares = np.zeros((2, channels))
        self._samples = 0
        self._clipped = np.zeros(channels, np.int64)
        self._amplitudes = np.zeros((channels, _AMPLITUDES), np.int64)
        self._mixed: list[NDArray[np.float32]] = []

    def take(self, block: NDArray[np.float16]) -> None:
        for start in range(0, len(block), _SECONDS_AT_ONCE):
            part = block[start : start + _SECONDS_AT_ONCE]
            self._take_part(part, part.astype(np.float32))
        self._samples += len(block) * RATE_HZ

    def _take_part(self, stored: NDArray[np.float16], values: NDArray[np.float32]) -> None:
        self._sum += values.sum(axis=2).sum(axis=0, dtype=np.float64)
        self._squares += np.einsum("sct,sct->sc", values, values).sum(axis=0, dtype=np.float64)
        if max(values.max(), -values.min()) >= _LIMIT:
            self._clipped += np.count_nonzero(np.abs(values) >= _LIMIT, axis=(0, 2))
        bits = (stored[:, :, ::_AMPLITUDE_STRIDE].view(np.uint16) & 0x7FFF) >> _AMPLITUDE_BITS
        places = bits + np.arange(0, self._amplitudes.size, _AMPLITUDES)[:, None]
        self._amplitudes += np.bincount(places.ravel(), minlength=self._amplitudes.size).reshape(-1, _AMPLITUDES)
        self._mixed.append((self._signs @ values).reshape(-1, _BIN_SAMPLES).mean(axis=1))

    def row(self) -> Row:
        samples = max(1, self._samples)
        mean = self._sum / samples
        sd = np.sqrt(np.maximum(self._squares / samples - mean**2, 0.0))
        return {
            "channel_sd_uv": _listed(sd),
            "sd_uv": _listed(sd),
            "max_sd_uv": float(sd.max()),
            "median_sd_uv": _median(sd),
            **{f"channel_p{share}_uv": _listed(self._percentile(share)) for share in (50, 95, 99)},
            "clipped_samples": int(self._clipped.sum()),
            "channel_clipped_samples": self._clipped.tolist(),
            "signal_hash": self._hash(),
        }

    def _percentile(self, share: int) -> NDArray[np.float64]:
        """Percentile of |µV|, from counts by the leading bits of float16, which are bins 3 % wide."""
        cumulated = np.cumsum(self._amplitudes, axis=1)
        reached = (cumulated * 100 < share * cumulated[:, -1:]).sum(axis=1).clip(max=_AMPLITUDES - 1)
        middle = (reached << _AMPLITUDE_BITS) + (1 << (_AMPLITUDE_BITS - 1)) * (reached > 0)
        return np.asarray(middle.astype(np.uint16).view(np.float16), np.float64)

    def _hash(self) -> str:
        """SHA-256 of the course of the signal, rounded so that another format, header or unit leaves it as it is.

        The channels, in the order of their names, are alternately added and subtracted; of averages of 50 ms of that,
        32 spread over the recording are taken. Empty where there is no signal.
        """
        if not self._mixed:
            return ""
        course = np.concatenate(self._mixed).astype(np.float64)
        points = course[np.unique(np.linspace(0, len(course) - 1, _HASHED_BINS).round().astype(int))]
        points = points - points.mean()
        scale = math.sqrt(float(np.square(points).mean()))
        if scale <= _TINY:
            return ""
        steps = np.round(points / (scale * _HASH_STEP)).astype("<i4")
        channels = len(self._signs).to_bytes(4, "little")
        return hashlib.sha256(channels + self._samples.to_bytes(8, "little") + steps.tobytes()).hexdigest()


def _twos(number: int) -> int:
    """How often two divides a number; for 0, more often than any."""
    return (number & -number).bit_length() - 1 if number else 64


def _between(correlation: NDArray[np.float64]) -> float | None:
    """Median size of the correlation of a channel with another, from three channels on: two may be neighbours."""
    others = np.abs(correlation[~np.eye(len(correlation), dtype=bool)])
    return float(np.median(others)) if len(correlation) > 2 else None


def _median(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else None


def _listed(values: NDArray[np.float64]) -> list[float | None]:
    """As a list, rounded to what a float32 holds, with None for what is unknown."""
    return [float(np.float32(value)) if math.isfinite(value) else None for value in values]


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
    longest = round(600 * per_second)
    start = max(0, (length - longest) // 2)
    return slice(start, start + longest)


def _spectrum(
    signal: NDArray[np.float64] | NDArray[np.float32], rate: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies in Hz and power density [C, frequencies]."""
    frequency, power = welch(signal, rate, nperseg=min(signal.shape[1], round(_SEGMENT_SECONDS * rate)), axis=1)
    return np.asarray(frequency, dtype=np.float64), np.asarray(power, dtype=np.float64)
