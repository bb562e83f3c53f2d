"""Signal quality metrics of a recording, before and after preprocessing; the quality rules check them.

`SignalMetrics` is updated block by block during ingest. It keeps sums and counts, and 40 bytes per second of recording.
Metrics before preprocessing describe the recorder: filters hide dropouts, held samples and saturation.

Shape letters: C channels, S seconds, N samples; a patch has 200 samples.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labram.corpus.spectra import Row, Spectra, listed, median
from labram.input_spec import SAMPLE_RATE_HZ
from labram.store.store import LIMIT_UV

Samples = NDArray[np.float32] | NDArray[np.float64]

_SEGMENT_SECONDS = 4
_HELD_RATE_HZ = 1000.0
"""Above this rate samples are left out before repeats are counted: a fast recorder's neighbours are equal by right."""
_PROBES = 16
"""Samples of a second that are compared first: if those differ, it does not stand still."""
_MOST_SEGMENTS = 32
_RANKS = range(5)
_STRIDE = 4
"""Of what is stored every fourth sample is taken: amplitudes need no more."""
_AMPLITUDE_BITS = 5
_AMPLITUDES = 1 << (15 - _AMPLITUDE_BITS)
_SECONDS_AT_ONCE = 16
_LIMIT_BITS = np.float16(LIMIT_UV).view(np.uint16)
_BIN_SAMPLES = 5
_HASHED_BINS = 32
_HASH_STEP = 0.5
_TINY = np.finfo(np.float32).tiny


class SignalMetrics:
    """Metrics of one recording, from its blocks.

    Args:
        montage: The C canonical channel names, in the order of the blocks.
        rate_hz: Sampling rate of the unfiltered blocks.
        mains_hz: Mains frequency where it was recorded.
    """

    def __init__(self, montage: Sequence[str], rate_hz: float, mains_hz: float) -> None:
        self._raw = _Raw(len(montage), rate_hz, mains_hz)
        self._stored = _Stored(montage)

    def add_raw(self, block: Samples) -> None:
        """Take the next unfiltered block, float [C, N] in µV; N may differ from block to block."""
        self._raw.take(np.asarray(block, np.float32))

    def add_patches(self, block: NDArray[np.float16]) -> None:
        """Take the next block of what is stored, float16 [S, C, 200] in µV."""
        self._stored.take(block)

    def row(self) -> Row:
        """Columns of the catalogue; None where the recording is too short or too slow to tell."""
        return {**self._raw.row(), **self._stored.row()}


class _Raw:
    """Metrics before preprocessing. All samples are looked at once; what takes longer is done for some segments.

    Which ones depends on the number `n` of segments, which is not known before the end: all, or every second, fourth,
    eighth or sixteenth, so that at most 33 + n / 16 are kept. Sums are kept apart by how often two divides the number
    of a segment (its rank, up to 4), so that those of a rank can be given up together.
    """

    def __init__(self, channels: int, rate: float, mains_hz: float) -> None:
        self._rate, self._mains_hz, self._second = rate, mains_hz, max(1, round(rate))
        self._rest = np.empty((channels, 0), np.float32)
        self._missing, self._flat = np.zeros((2, channels), np.int64)
        self._seconds = self._dead = self._segments = 0
        self._ranks: dict[int, _Sampled] = {}

    def take(self, block: NDArray[np.float32]) -> None:
        signal = np.concatenate([self._rest, block], axis=1) if self._rest.size else block
        length = _SEGMENT_SECONDS * self._second
        whole = signal.shape[1] // length * length
        if whole:
            self._look(signal[:, :whole])
            self._sample(signal[:, :whole].reshape(len(signal), -1, length))
        self._rest = signal[:, whole:].copy()

    def _look(self, signal: NDArray[np.float32]) -> None:
        """Find what is missing, and the seconds in which a channel, or all of them, stay at one value."""
        if not np.isfinite(signal.sum(axis=1)).all():
            self._missing += np.count_nonzero(~np.isfinite(signal), axis=1)
        seconds = signal[:, : signal.shape[1] // self._second * self._second].reshape(len(signal), -1, self._second)
        probes = seconds[:, :, :: -(-self._second // _PROBES)]
        still = (probes == probes[:, :, :1]).all(axis=2)
        if still.any():
            suspects = seconds[still]
            still[still] = (suspects == suspects[:, :1]).all(axis=1)
            self._flat += still.sum(axis=1)
            self._dead += int(still.all(axis=0).sum())
        self._seconds += seconds.shape[1]

    def _sample(self, segments: NDArray[np.float32]) -> None:
        """Take consecutive segments [C, n, N]."""
        numbers = np.arange(self._segments, self._segments + segments.shape[1])
        self._segments += len(numbers)
        sixteens = -(-self._segments // 16)
        lowest = next(rank for rank in _RANKS if sixteens * (16 >> rank) <= _MOST_SEGMENTS + sixteens)
        self._ranks = {rank: part for rank, part in self._ranks.items() if rank >= lowest}
        ranks = sum(numbers % 2**rank == 0 for rank in _RANKS[1:])
        finite = np.isfinite(segments.sum(axis=(0, 2)))
        for rank in _RANKS[lowest:]:
            chosen = segments[:, (ranks == rank) & finite]
            if chosen.size:
                self._ranks.setdefault(rank, self._nothing(chosen.shape[2])).add(chosen)

    def _nothing(self, length: int) -> "_Sampled":
        return _Sampled(len(self._rest), self._rate, self._mains_hz, length)

    def row(self) -> Row:
        length = _SEGMENT_SECONDS * self._second
        if not self._segments and self._rest.shape[1]:
            length = self._rest.shape[1]
            self._sample(self._rest[:, None])
        if self._rest.shape[1]:
            self._look(self._rest)
        self._rest = self._rest[:, :0]
        sampled = self._nothing(length)
        for part in self._ranks.values():
            sampled.merge(part)
        return {
            "missing_samples": int(self._missing.sum()),
            "channel_missing_samples": self._missing.tolist(),
            "dead_seconds": self._dead,
            "channel_flat_fraction": listed(self._flat / max(1, self._seconds)),
            **sampled.row(self._flat < max(1, self._seconds)),
        }


class _Sampled:
    """Metrics of some segments of a recording."""

    def __init__(self, channels: int, rate: float, mains_hz: float, length: int) -> None:
        self.segments = self._compared = 0
        self._stride = max(1, round(rate / _HELD_RATE_HZ))
        self._held = np.zeros(channels, np.int64)
        self._top, self._bottom = _Extreme(np.full(channels, -np.inf)), _Extreme(np.full(channels, np.inf))
        self._spectra = Spectra(channels, rate, mains_hz, length)

    def add(self, segments: NDArray[np.float32]) -> None:
        """Take segments [C, n, N]."""
        self.segments += segments.shape[1]
        thinned = segments[:, :, :: self._stride]
        later, pairs = thinned[:, :, 1:], thinned.shape[1] * (thinned.shape[2] - 1)
        place = np.flatnonzero(later == thinned[:, :, :-1])
        channel, values = place // max(1, pairs), later.ravel()[place]
        self._held += np.bincount(channel, minlength=len(segments))
        self._compared += pairs
        self._top.add(segments.max(axis=(1, 2)), channel, values)
        self._bottom.add(segments.min(axis=(1, 2)), channel, values)
        self._spectra.add(segments)

    def merge(self, other: "_Sampled") -> None:
        self.segments += other.segments
        self._compared += other._compared
        self._held += other._held
        self._top.merge(other._top)
        self._bottom.merge(other._bottom)
        self._spectra.merge(other._spectra)

    def row(self, live: NDArray[np.bool_]) -> Row:
        """Columns of the catalogue; `live` are channels that are more than one value."""
        compared = max(1, self._compared)
        saturated = np.maximum(self._top.repeats, self._bottom.repeats) / compared
        return {
            "held_fraction": median(np.where(live, self._held / compared, np.nan)),
            "channel_saturated_fraction": listed(np.where(live, saturated, 0.0)),
            **self._spectra.row(),
        }


class _Extreme:
    """How often each channel repeats its largest, or smallest, value: an amplifier at its limit stays there."""

    def __init__(self, start: NDArray[np.float64]) -> None:
        self._values, self._direction = start, -np.sign(start[0])
        self.repeats = np.zeros(len(start), np.int64)

    def add(self, extremes: NDArray[np.float32], channel: NDArray[np.intp], values: NDArray[np.float32]) -> None:
        """Take a segment's extremes [C], and what is repeated in it: values and their channels."""
        self._take(extremes, np.bincount(channel[values == extremes[channel]], minlength=len(extremes)))

    def merge(self, other: "_Extreme") -> None:
        self._take(other._values, other.repeats)

    def _take(self, values: NDArray[np.floating[Any]], repeats: NDArray[np.int64]) -> None:
        beyond = self._direction * (values - self._values)
        self.repeats = np.where(beyond > 0, repeats, self.repeats + np.where(beyond == 0, repeats, 0))
        self._values = np.where(beyond > 0, values, self._values)


class _Stored:
    """Metrics of what is stored, after preprocessing."""

    def __init__(self, montage: Sequence[str]) -> None:
        channels = len(montage)
        order = np.argsort(np.asarray(montage))
        self._signs = np.empty(channels, np.float32)
        self._signs[order] = np.where(np.arange(channels) % 2, -1, 1)
        self._sum, self._squares = np.zeros((2, channels))
        self._seconds = 0
        self._clipped = np.zeros(channels, np.int64)
        self._amplitudes = np.zeros(channels * _AMPLITUDES, np.int64)
        self._first_place = np.arange(0, len(self._amplitudes), _AMPLITUDES)[:, None]
        self._mixed: list[NDArray[np.float32]] = []

    def take(self, block: NDArray[np.float16]) -> None:
        for start in range(0, len(block), _SECONDS_AT_ONCE):
            self._take_part(block[start : start + _SECONDS_AT_ONCE])
        self._seconds += len(block)

    def _take_part(self, stored: NDArray[np.float16]) -> None:
        sizes = stored.view(np.uint16) & 0x7FFF  # without the sign, the bits of float16 are in the order of its values
        if sizes.max() >= _LIMIT_BITS:
            self._clipped += np.count_nonzero(sizes >= _LIMIT_BITS, axis=(0, 2))
        values = stored[:, :, ::_STRIDE].astype(np.float32)
        self._sum += values.sum(axis=2).sum(axis=0, dtype=np.float64)
        self._squares += np.einsum("sct,sct->sc", values, values).sum(axis=0, dtype=np.float64)
        places = (sizes[:, :, ::_STRIDE] >> _AMPLITUDE_BITS) + self._first_place
        self._amplitudes += np.bincount(places.ravel(), minlength=len(self._amplitudes))
        self._mixed.append((self._signs @ values).reshape(-1, _BIN_SAMPLES).mean(axis=1))

    def row(self) -> Row:
        samples = max(1, self._seconds * SAMPLE_RATE_HZ // _STRIDE)
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
        cumulated = np.cumsum(self._amplitudes.reshape(-1, _AMPLITUDES), axis=1)
        reached = (cumulated * 100 < share * cumulated[:, -1:]).sum(axis=1).clip(max=_AMPLITUDES - 1)
        middle = (reached << _AMPLITUDE_BITS) + (1 << (_AMPLITUDE_BITS - 1)) * (reached > 0)
        return np.asarray(middle.astype(np.uint16).view(np.float16), np.float64)

    def _hash(self) -> str:
        """SHA-256 of the course of the signal, rounded so that another format, header or unit leaves it as it is.

        The channels, in the order of their names, are alternately added and subtracted; of averages of 100 ms of that,
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
        return hashlib.sha256(channels + self._seconds.to_bytes(8, "little") + steps.tobytes()).hexdigest()
