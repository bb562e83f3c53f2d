"""The paper's filter chain (section 3.1): band-pass 0.1-75 Hz, notch at the mains frequency, 200 Hz.

`design` says which filters a recording gets, in the order of the published scripts: MNE's zero-phase FIR filters with
its defaults (Hamming window, ``firwin``). `reference` applies them as the scripts do, one after the other through MNE
at double precision, and is what other ways of applying them are measured by.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import mne
import numpy as np
from numpy.typing import NDArray

from labram.errors import ReadError, Reason
from labram.input_spec import SAMPLE_RATE_HZ
from labram.signals.recording import Samples

"""Samples per second that the model is made for."""

_HAMMING_LENGTH = 3.3
"""Length of a Hamming-windowed FIR filter in units of 1 / transition band (mne.filter.create_filter)."""
_NOTCH_TRANSITION_HZ = 1.0
_NOTCH_WIDTH = 1 / 200
"""Width of a notch in units of its frequency (mne.filter.notch_filter)."""
_CHANNELS_AT_ONCE = 16
_LARGEST_STEP = 4096
_RATE_TOLERANCE = 1e-9
_RESAMPLING_PAD = 100


@dataclass(frozen=True)
class Filter:
    """One FIR filter, in the words of `mne.filter.filter_data`; a band-stop where `low_hz` lies above `high_hz`.

    Attributes:
        low_hz: Lower edge of what passes; None: everything below `high_hz` does.
        high_hz: Upper edge of what passes; None: everything above `low_hz` does.
        low_transition_hz: Width of the transition band at `low_hz`.
        high_transition_hz: Likewise at `high_hz`.
    """

    low_hz: float | None
    high_hz: float | None
    low_transition_hz: float
    high_transition_hz: float

    def apply(self, signals: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
        """Filter signals [channels, samples], which are extended at both ends by odd reflection."""
        return _float64(
            mne.filter.filter_data(
                signals,
                rate,
                self.low_hz,
                self.high_hz,
                l_trans_bandwidth=self.low_transition_hz,
                h_trans_bandwidth=self.high_transition_hz,
                verbose="ERROR",
            )
        )

    def response(self, rate: float) -> NDArray[np.float64]:
        """The impulse response that `apply` uses, symmetric, of odd length."""
        return _float64(
            mne.filter.create_filter(
                None,
                rate,
                self.low_hz,
                self.high_hz,
                l_trans_bandwidth=self.low_transition_hz,
                h_trans_bandwidth=self.high_transition_hz,
                verbose="ERROR",
            )
        )


@dataclass(frozen=True)
class Chain:
    """What is done to a recording, in this order, before it is resampled.

    Attributes:
        remove_mean: Whether each channel loses its mean, where the recording is shorter than the high-pass.
        filters: Band-pass and notches.
        sinusoids: Frequencies whose best fitting sinusoid is subtracted, where the recording is shorter than a notch.
    """

    remove_mean: bool
    filters: tuple[Filter, ...]
    sinusoids: tuple[float, ...]


def design(
    samples: int, rate: float, *, line_freq_hz: float, high_pass_hz: float, low_pass_hz: float, notch: bool
) -> Chain:
    """Filters for a recording of some length.

    Filters are as long as their transition bands ask for (33 s for a high-pass at 0.1 Hz). Where the recording is
    shorter than a filter, the nearest thing that it supports takes its place. A low-pass at or above half the
    recording's rate is left out, there is nothing to remove. Mains harmonics are notched where they lie below the
    low-pass.

    Args:
        samples: Length of the recording.
        rate: Its samples per second.
        line_freq_hz: Mains frequency where it was recorded.
        high_pass_hz: Lower band edge.
        low_pass_hz: Upper band edge.
        notch: Whether to remove mains.
    """

    def fits(transition_hz: float) -> bool:
        return samples >= _HAMMING_LENGTH * rate / transition_hz

    low_transition = min(max(high_pass_hz / 4, 2.0), high_pass_hz)
    high_transition = min(max(low_pass_hz / 4, 2.0), rate / 2 - low_pass_hz)
    low = high_pass_hz if fits(low_transition) else None
    high = low_pass_hz if high_transition > 0 and fits(high_transition) else None
    band = () if low is None and high is None else (Filter(low, high, low_transition, high_transition),)
    frequencies = _notches(line_freq_hz, low_pass_hz, rate) if notch else ()
    if not fits(_NOTCH_TRANSITION_HZ / 2):
        return Chain(low is None, band, frequencies)
    return Chain(low is None, (*band, *(_band_stop(frequency) for frequency in frequencies)), ())


def reference(signals: Samples, rate: float, chain: Chain) -> NDArray[np.float32]:
    """Filter and resample signals as the published scripts do, a few channels at a time.

    Args:
        signals: µV, [channels, samples], finite.
        rate: Samples per second.
        chain: See `design`.

    Returns:
        µV, [channels, 200 · whole seconds].
    """
    length = SAMPLE_RATE_HZ * whole_seconds(signals.shape[1], rate)
    filtered = np.empty((len(signals), length), np.float32)
    for start in range(0, len(signals), _CHANNELS_AT_ONCE):
        some = _float64(signals[start : start + _CHANNELS_AT_ONCE])
        if chain.remove_mean:
            some = some - some.mean(axis=1, keepdims=True)
        for fir in chain.filters:
            some = fir.apply(some, rate)
        for frequency in chain.sinusoids:
            some = _without_sinusoid(some, rate, frequency)
        filtered[start : start + _CHANNELS_AT_ONCE] = _resample(some, rate)[:, :length]
    return filtered


def whole_seconds(samples: int, rate: float) -> int:
    """Seconds that are complete."""
    return math.floor(samples / rate + 1e-9)


def resampling_ratio(rate: float) -> Fraction | None:
    """Samples at 200 Hz for each sample, where few samples make up a whole number of the others; None elsewhere."""
    ratio = Fraction(SAMPLE_RATE_HZ / rate).limit_denominator(_LARGEST_STEP)
    return ratio if ratio and abs(float(ratio) * rate / SAMPLE_RATE_HZ - 1) < _RATE_TOLERANCE else None


def non_finite_samples(channel: int) -> ReadError:
    """The error for a channel, counted from 0, with samples that are not numbers."""
    return ReadError(
        "has samples that are not numbers",
        reason=Reason.DAMAGED,
        field=f"channel {channel + 1}",
        remedy="Export the recording again, or leave it out",
    )


def _band_stop(frequency: float) -> Filter:
    """What `mne.filter.notch_filter` gives to `mne.filter.filter_data`."""
    transition = _NOTCH_TRANSITION_HZ / 2
    half = frequency * _NOTCH_WIDTH / 2 + transition
    return Filter(frequency + half, frequency - half, transition, transition)


def _notches(line_freq_hz: float, low_pass_hz: float, rate: float) -> tuple[float, ...]:
    """Mains and its harmonics, as far as the band and the rate let them through."""
    edge = min(low_pass_hz, rate / 2 - 2 * _NOTCH_TRANSITION_HZ)
    return tuple(line_freq_hz * n for n in range(1, 1 + int(edge // line_freq_hz)))


def _without_sinusoid(signals: NDArray[np.float64], rate: float, frequency: float) -> NDArray[np.float64]:
    phase = 2 * np.pi * frequency / rate * np.arange(signals.shape[1])
    waves = np.stack([np.cos(phase), np.sin(phase), np.ones_like(phase)], axis=1)
    weights = np.linalg.lstsq(waves, signals.T, rcond=None)[0]
    return _float64(signals - (waves[:, :2] @ weights[:2]).T)


def _resample(signals: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """To 200 Hz, through the spectrum of the whole signal.

    MNE rounds the lengths of signal and padding after resampling, which stretches and shifts time by up to half a
    sample. With lengths that come out whole there is nothing to round.
    """
    if rate == SAMPLE_RATE_HZ:
        return signals
    ratio = resampling_ratio(rate)
    if ratio is None:
        return _float64(
            mne.filter.resample(signals, up=SAMPLE_RATE_HZ, down=rate, npad=_RESAMPLING_PAD, verbose="ERROR")
        )
    up, down = ratio.as_integer_ratio()
    whole = np.pad(signals, ((0, 0), (0, -signals.shape[1] % down)), "reflect", reflect_type="odd")
    pad = down * math.ceil(_RESAMPLING_PAD / down)
    return _float64(mne.filter.resample(whole, up=up, down=down, npad=pad, verbose="ERROR"))


def _float64(signals: object) -> NDArray[np.float64]:
    return np.asarray(signals, np.float64)
