"""What the quality rules judge: figures of a recording before and after preprocessing.

`Figures` is fed the blocks that an ingest passes through anyway, and keeps sums and counts; beyond those, 80 bytes for
a second of recording. Figures before preprocessing tell of the recorder; what is lost, held or saturated there, filters
smooth over.

Shape letters: C channels, S seconds, N samples; a patch has 200 samples.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labram.corpus.spectra import Row, Spectra, listed, median
from labram.corpus.store import LIMIT_UV, RATE_HZ

Samples = NDArray[np.float32] | NDArray[np.float64]

_SEGMENT_SECONDS = 4
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
        self._spectra = Spectra(channels, rate, mains_hz)

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
            "channel_flat_fraction": listed(self._flat / max(1, self._seconds)),
            "held_fraction": median(np.where(live, held, np.nan)),
            "channel_saturated_fraction": listed(np.where(live, saturated, 0.0)),
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
            "channel_sd_uv": listed(sd),
            "median_sd_uv": median(sd),
            **{f"channel_p{share}_uv": listed(self._percentile(share)) for share in (50, 95, 99)},
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
