"""Signal quality metrics of a recording, before and after preprocessing; the quality rules check them.

`SignalMetrics` is updated block by block during ingest. It keeps sums and counts, and 40 bytes per second of recording.
Metrics before preprocessing describe the recorder: filters hide dropouts, held samples and saturation.

Shape letters: C channels, S seconds, N samples; a patch has 200 samples.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labram.corpus.spectra import Row, Spectra, listed, median
from labram.input_spec import SAMPLE_RATE_HZ
from labram.store.store import LIMIT_UV

Samples = NDArray[np.float32] | NDArray[np.float64]

_SEGMENT_SECONDS = 4
_MAX_TRIAL_SECONDS = 10
"""Longest trial that is one segment."""
_HELD_SFREQ_HZ = 1000.0
"""Faster signals are decimated to this rate before repeats are counted: their neighbours are equal legitimately."""
_PROBES = 16
"""Samples per second that are compared first: if they differ, the channel is not constant."""
_MAX_SEGMENTS = 32
_RANKS = range(5)
_STRIDE = 4
"""Every fourth stored sample is used: enough for amplitudes."""
_AMPLITUDE_BITS = 5
_AMPLITUDES = 1 << (15 - _AMPLITUDE_BITS)
_SECONDS_AT_ONCE = 16
_LIMIT_BITS = np.float16(LIMIT_UV).view(np.uint16)
_BIN_SAMPLES = 5
_HASHED_BINS = 32
_HASH_STEP = 0.5
_HASH_LIMIT = 4.0
_SD_OF_MAD = 1.4826
"""Standard deviation of normally distributed values over their median absolute deviation."""
_SKETCH = 16
_SKETCHED_BINS = 60
_BINS_A_SECOND = SAMPLE_RATE_HZ // (_STRIDE * _BIN_SAMPLES)
_MIXER = np.uint64(0x9E3779B97F4A7C15)
_TINY = np.finfo(np.float32).tiny


class SignalMetrics:
    """Metrics of one recording, updated block by block.

    Args:
        montage: The C canonical channel names, in the order of the blocks.
        sfreq: Sampling rate of the unfiltered blocks in Hz.
        line_freq_hz: Line frequency where the recording was made.
        trial_samples: Samples of each trial; 0: a continuous recording. Spectra are not computed across short trials.
    """

    def __init__(self, montage: Sequence[str], sfreq: float, line_freq_hz: float, trial_samples: int = 0) -> None:
        self._raw = _RawMetrics(len(montage), sfreq, line_freq_hz, trial_samples)
        self._stored = _StoredMetrics(montage)

    def add_raw(self, block: Samples) -> None:
        """Add the next unfiltered block, float [C, N] in µV; N may vary.

        The sums of a channel may overflow; its metrics are then undefined.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            self._raw.add(np.asarray(block, np.float32))

    def add_patches(self, block: NDArray[np.float16]) -> None:
        """Add the next block of stored patches, float16 [S, C, 200] in µV."""
        self._stored.add(block)

    @property
    def peaks(self) -> NDArray[np.float16]:
        """Largest absolute value of each stored second and channel, float16 [S, C] in µV."""
        return self._stored.peaks()

    def row(self) -> Row:
        """Return catalogue columns; None if the recording is too short or its sampling rate too low."""
        return {**self._raw.row(), **self._stored.row()}


class _RawMetrics:
    """Metrics before preprocessing. Cheap ones cover all samples, expensive ones a subset of the segments.

    The number `n` of segments is not known in advance. The subset is every segment, or every second, fourth, eighth or
    sixteenth: at most 33 + n / 16. Sums are kept per rank, the exponent of two in a segment's index (up to 4), so that
    a rank can be dropped later.
    """

    def __init__(self, channels: int, sfreq: float, line_freq_hz: float, trial_samples: int = 0) -> None:
        self._sfreq, self._line_freq_hz, self._second = sfreq, line_freq_hz, max(1, round(sfreq))
        short = 0 < trial_samples <= _MAX_TRIAL_SECONDS * self._second
        self._length = trial_samples if short else _SEGMENT_SECONDS * self._second
        self._rest = np.empty((channels, 0), np.float32)
        self._missing, self._flat = np.zeros((2, channels), np.int64)
        self._seconds = self._dead = self._segments = 0
        self._ranks: dict[int, _SegmentMetrics] = {}

    def add(self, block: NDArray[np.float32]) -> None:
        signal = np.concatenate([self._rest, block], axis=1) if self._rest.size else block
        length = self._length
        whole = signal.shape[1] // length * length
        if whole:
            self._scan(signal[:, :whole])
            self._add_segments(signal[:, :whole].reshape(len(signal), -1, length))
        self._rest = signal[:, whole:].copy()

    def _scan(self, signal: NDArray[np.float32]) -> None:
        """Count missing samples, and the seconds in which one channel, or all, are constant."""
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

    def _add_segments(self, segments: NDArray[np.float32]) -> None:
        """Add consecutive segments [C, n, N] to their ranks."""
        numbers = np.arange(self._segments, self._segments + segments.shape[1])
        self._segments += len(numbers)
        sixteens = -(-self._segments // 16)
        lowest = next(rank for rank in _RANKS if sixteens * (16 >> rank) <= _MAX_SEGMENTS + sixteens)
        self._ranks = {rank: part for rank, part in self._ranks.items() if rank >= lowest}
        ranks = sum(numbers % 2**rank == 0 for rank in _RANKS[1:])
        finite = np.isfinite(segments.sum(axis=(0, 2)))
        for rank in _RANKS[lowest:]:
            selected = segments[:, (ranks == rank) & finite]
            if selected.size:
                self._ranks.setdefault(rank, self._empty(selected.shape[2])).add(selected)

    def _empty(self, length: int) -> "_SegmentMetrics":
        return _SegmentMetrics(len(self._rest), self._sfreq, self._line_freq_hz, length)

    def row(self) -> Row:
        length = self._length
        if not self._segments and self._rest.shape[1]:
            length = self._rest.shape[1]
            self._add_segments(self._rest[:, None])
        if self._rest.shape[1]:
            self._scan(self._rest)
        self._rest = self._rest[:, :0]
        sampled = self._empty(length)
        for part in self._ranks.values():
            sampled.merge(part)
        return {
            "missing_samples": int(self._missing.sum()),
            "channel_missing_samples": self._missing.tolist(),
            "dead_seconds": self._dead,
            "channel_flat_fraction": listed(self._flat / max(1, self._seconds)),
            **sampled.row(self._flat < max(1, self._seconds)),
        }


class _SegmentMetrics:
    """Metrics of some segments of a recording."""

    def __init__(self, channels: int, sfreq: float, line_freq_hz: float, length: int) -> None:
        self.segments = self._compared = 0
        self._stride = max(1, round(sfreq / _HELD_SFREQ_HZ))
        self._held = np.zeros(channels, np.int64)
        self._top, self._bottom = _Extreme(np.full(channels, -np.inf)), _Extreme(np.full(channels, np.inf))
        self._spectra = Spectra(channels, sfreq, line_freq_hz, length)

    def add(self, segments: NDArray[np.float32]) -> None:
        """Add segments [C, n, N]."""
        self.segments += segments.shape[1]
        thinned = segments[:, :, :: self._stride]
        later, pairs = thinned[:, :, 1:], thinned.shape[1] * (thinned.shape[2] - 1)
        repeats = np.flatnonzero(later == thinned[:, :, :-1])
        channel, values = repeats // max(1, pairs), later.ravel()[repeats]
        self._held += np.bincount(channel, minlength=len(segments))
        self._compared += pairs
        self._top.add(segments.max(axis=(1, 2)), channel, values)
        self._bottom.add(segments.min(axis=(1, 2)), channel, values)
        self._spectra.add(segments)

    def merge(self, other: "_SegmentMetrics") -> None:
        self.segments += other.segments
        self._compared += other._compared
        self._held += other._held
        self._top.merge(other._top)
        self._bottom.merge(other._bottom)
        self._spectra.merge(other._spectra)

    def row(self, live: NDArray[np.bool_]) -> Row:
        """Return catalogue columns; `live` marks the channels that are not constant."""
        compared = max(1, self._compared)
        saturated = np.maximum(self._top.repeats, self._bottom.repeats) / compared
        return {
            "held_fraction": median(np.where(live, self._held / compared, np.nan)),
            "channel_saturated_fraction": listed(np.where(live, saturated, 0.0)),
            **self._spectra.row(),
        }


class _Extreme:
    """Counts of samples that repeat a channel's largest, or smallest, value, as a saturated amplifier does."""

    def __init__(self, start: NDArray[np.float64]) -> None:
        self._values, self._direction = start, -np.sign(start[0])
        self.repeats = np.zeros(len(start), np.int64)

    def add(self, extremes: NDArray[np.float32], channel: NDArray[np.intp], values: NDArray[np.float32]) -> None:
        """Add the extremes [C] of segments, and the repeated values in them with their channels."""
        self._update(extremes, np.bincount(channel[values == extremes[channel]], minlength=len(extremes)))

    def merge(self, other: "_Extreme") -> None:
        self._update(other._values, other.repeats)

    def _update(self, values: NDArray[np.floating[Any]], repeats: NDArray[np.int64]) -> None:
        beyond = self._direction * (values - self._values)
        self.repeats = np.where(beyond > 0, repeats, self.repeats + np.where(beyond == 0, repeats, 0))
        self._values = np.where(beyond > 0, values, self._values)


class _StoredMetrics:
    """Metrics of the stored patches, after preprocessing."""

    def __init__(self, montage: Sequence[str]) -> None:
        channels = len(montage)
        order = np.argsort(np.asarray(montage))
        self._signs = np.empty(channels, np.float32)
        self._signs[order] = np.where(np.arange(channels) % 2, -1, 1)
        self._sum, self._squares = np.zeros((2, channels))
        self._seconds = 0
        self._clipped = np.zeros(channels, np.int64)
        self._amplitudes = np.zeros(channels * _AMPLITUDES, np.int64)
        self._first_bin = np.arange(0, len(self._amplitudes), _AMPLITUDES)[:, None]
        self._mixed: list[NDArray[np.float32]] = []
        self._peaks: list[NDArray[np.uint16]] = [np.empty((0, channels), np.uint16)]

    def add(self, block: NDArray[np.float16]) -> None:
        for start in range(0, len(block), _SECONDS_AT_ONCE):
            self._add_part(block[start : start + _SECONDS_AT_ONCE])
        self._seconds += len(block)

    def _add_part(self, stored: NDArray[np.float16]) -> None:
        sizes = stored.view(np.uint16) & 0x7FFF  # without the sign, the bits of float16 are in the order of its values
        peaks = sizes.max(axis=2)
        self._peaks.append(peaks)
        if peaks.max() >= _LIMIT_BITS:
            self._clipped += np.count_nonzero(sizes >= _LIMIT_BITS, axis=(0, 2))
        values = stored[:, :, ::_STRIDE].astype(np.float32)
        self._sum += values.sum(axis=2).sum(axis=0, dtype=np.float64)
        self._squares += np.einsum("sct,sct->sc", values, values).sum(axis=0, dtype=np.float64)
        bins = (sizes[:, :, ::_STRIDE] >> _AMPLITUDE_BITS) + self._first_bin
        self._amplitudes += np.bincount(bins.ravel(), minlength=len(self._amplitudes))
        self._mixed.append((self._signs @ values).reshape(-1, _BIN_SAMPLES).mean(axis=1))

    def peaks(self) -> NDArray[np.float16]:
        return np.concatenate(self._peaks).view(np.float16)

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
            "signal_sketch": self._sketch(),
        }

    def _percentile(self, share: int) -> NDArray[np.float64]:
        """Return a percentile of |µV| from a histogram over the leading bits of float16, in bins 3 % wide."""
        cumulated = np.cumsum(self._amplitudes.reshape(-1, _AMPLITUDES), axis=1)
        reached = (cumulated * 100 < share * cumulated[:, -1:]).sum(axis=1).clip(max=_AMPLITUDES - 1)
        middle = (reached << _AMPLITUDE_BITS) + (1 << (_AMPLITUDE_BITS - 1)) * (reached > 0)
        return np.asarray(middle.astype(np.uint16).view(np.float16), np.float64)

    def _sketch(self) -> list[int]:
        """Return hashes of 6 s that begin at a whole second, the smallest ones of the recording (MinHash).

        Hashed is whether the averages over 100 ms (see `_hash`) rise or fall. Two recordings with common seconds have
        common hashes, however many seconds one of them lacks at either end. Constant parts are left out.
        """
        course = np.concatenate(self._mixed).astype(np.float64) if self._mixed else np.empty(0)
        if len(course) <= _SKETCHED_BINS:
            return []
        steps = np.lib.stride_tricks.sliding_window_view(np.diff(course), _SKETCHED_BINS)[::_BINS_A_SECOND]
        moving = (np.abs(steps) > _TINY).all(axis=1)
        bits = (steps[moving] > 0).astype(np.uint64) << np.arange(_SKETCHED_BINS, dtype=np.uint64)
        mixed = bits.sum(axis=1, dtype=np.uint64) * _MIXER
        smallest = np.unique(mixed ^ (mixed >> np.uint64(32)))[:_SKETCH]
        values: list[int] = smallest.view(np.int64).tolist()
        return values

    def _hash(self) -> str:
        """Return a SHA-256 of the rounded signal that does not depend on format, header or unit; empty without signal.

        The channels, in the order of their names, are alternately added and subtracted. Of the averages of the result
        over 100 ms, 32 that are spread over the recording are hashed. They are divided by their median absolute
        deviation and limited to a few of it, so that an artefact decides neither the scale nor the hash.
        """
        if not self._mixed:
            return ""
        course = np.concatenate(self._mixed).astype(np.float64)
        points = course[np.unique(np.linspace(0, len(course) - 1, _HASHED_BINS).round().astype(int))]
        points = points - np.median(points)
        scale = _SD_OF_MAD * float(np.median(np.abs(points)))
        if scale <= _TINY:
            return ""
        limited = np.clip(points / scale, -_HASH_LIMIT, _HASH_LIMIT)
        steps = np.round(limited / _HASH_STEP).astype("<i4")
        channels = len(self._signs).to_bytes(4, "little")
        return hashlib.sha256(channels + self._seconds.to_bytes(8, "little") + steps.tobytes()).hexdigest()
