"""The paper's filter chain (section 3.1): band-pass 0.1-75 Hz, notch at the line frequency, 200 Hz.

`design` returns the filters of a recording, in the order of the published scripts: MNE's zero-phase FIR filters with
default settings (Hamming window, ``firwin``). `reference` applies them like the scripts, one after the other, with MNE
at double precision; tests compare other implementations with it.
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

LINE_FREQUENCIES_HZ = (50.0, 60.0)
EEG_BAND_HZ = (1.0, 45.0)
"""Band that quality metrics and covariances measure: above drifts, below line noise."""
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
    """One FIR filter, as in `mne.filter.filter_data`; a band-stop filter if `low_hz` is above `high_hz`.

    Attributes:
        low_hz: Lower edge of the pass band; None: low-pass.
        high_hz: Upper edge of the pass band; None: high-pass.
        low_transition_hz: Width of the transition band at `low_hz`.
        high_transition_hz: Width of the transition band at `high_hz`.
    """

    low_hz: float | None
    high_hz: float | None
    low_transition_hz: float
    high_transition_hz: float

    def apply(self, signals: NDArray[np.float64], sfreq: float) -> NDArray[np.float64]:
        """Filter signals [channels, samples], extended by odd reflection at both ends."""
        return _float64(
            mne.filter.filter_data(
                signals,
                sfreq,
                self.low_hz,
                self.high_hz,
                l_trans_bandwidth=self.low_transition_hz,
                h_trans_bandwidth=self.high_transition_hz,
                verbose="ERROR",
            )
        )

    def response(self, sfreq: float) -> NDArray[np.float64]:
        """Return the impulse response of `apply`, symmetric, of odd length."""
        return _float64(
            mne.filter.create_filter(
                None,
                sfreq,
                self.low_hz,
                self.high_hz,
                l_trans_bandwidth=self.low_transition_hz,
                h_trans_bandwidth=self.high_transition_hz,
                verbose="ERROR",
            )
        )


@dataclass(frozen=True)
class Chain:
    """Filters applied in this order before resampling.

    Attributes:
        remove_mean: Whether to subtract the mean of each channel, for recordings shorter than the high-pass filter.
        filters: Band-pass and notch filters.
        sinusoids: Frequencies whose least-squares sinusoid is subtracted, for recordings shorter than a notch filter.
    """

    remove_mean: bool
    filters: tuple[Filter, ...]
    sinusoids: tuple[float, ...]


def design(
    samples: int, sfreq: float, *, line_freq_hz: float, high_pass_hz: float, low_pass_hz: float, notch: bool
) -> Chain:
    """Return the filters for a recording.

    The transition band determines the length of a filter (33 s for a high-pass at 0.1 Hz). For a recording shorter than
    a filter, a substitute takes its place (see `Chain`). A low-pass at or above the Nyquist frequency is omitted.
    Harmonics of the line frequency below the low-pass get notch filters too.

    Args:
        samples: Number of samples of the recording.
        sfreq: Sampling rate in Hz.
        line_freq_hz: Line frequency.
        high_pass_hz: Lower band edge.
        low_pass_hz: Upper band edge.
        notch: Whether to remove line noise.
    """

    def fits(transition_hz: float) -> bool:
        return samples >= _HAMMING_LENGTH * sfreq / transition_hz

    low_transition = min(max(high_pass_hz / 4, 2.0), high_pass_hz)
    high_transition = min(max(low_pass_hz / 4, 2.0), sfreq / 2 - low_pass_hz)
    low = high_pass_hz if fits(low_transition) else None
    high = low_pass_hz if high_transition > 0 and fits(high_transition) else None
    band = () if low is None and high is None else (Filter(low, high, low_transition, high_transition),)
    frequencies = _notches(line_freq_hz, low_pass_hz, sfreq) if notch else ()
    if not fits(_NOTCH_TRANSITION_HZ / 2):
        return Chain(low is None, band, frequencies)
    return Chain(low is None, (*band, *(_band_stop(frequency) for frequency in frequencies)), ())


def reference(signals: Samples, sfreq: float, chain: Chain) -> NDArray[np.float32]:
    """Filter and resample signals like the published scripts, a few channels at a time.

    Args:
        signals: µV, [channels, samples], finite.
        sfreq: Sampling rate in Hz.
        chain: See `design`.

    Returns:
        µV, [channels, 200 · whole seconds].
    """
    length = SAMPLE_RATE_HZ * whole_seconds(signals.shape[1], sfreq)
    filtered = np.empty((len(signals), length), np.float32)
    for start in range(0, len(signals), _CHANNELS_AT_ONCE):
        chunk = _float64(signals[start : start + _CHANNELS_AT_ONCE])
        if chain.remove_mean:
            chunk = chunk - chunk.mean(axis=1, keepdims=True)
        for fir in chain.filters:
            chunk = fir.apply(chunk, sfreq)
        for frequency in chain.sinusoids:
            chunk = _without_sinusoid(chunk, sfreq, frequency)
        filtered[start : start + _CHANNELS_AT_ONCE] = _resample(chunk, sfreq)[:, :length]
    return filtered


def whole_seconds(samples: int, sfreq: float) -> int:
    """Return the number of complete seconds."""
    return math.floor(samples / sfreq + 1e-9)


def resampling_ratio(sfreq: float) -> Fraction | None:
    """Return 200 Hz divided by the sampling rate as a fraction; None if it has no simple one."""
    ratio = Fraction(SAMPLE_RATE_HZ / sfreq).limit_denominator(_LARGEST_STEP)
    return ratio if ratio and abs(float(ratio) * sfreq / SAMPLE_RATE_HZ - 1) < _RATE_TOLERANCE else None


def non_finite_samples(channel: int) -> ReadError:
    """Return the error for a channel, counted from 0, with NaN or infinite samples."""
    return ReadError(
        "NaN or infinite samples",
        reason=Reason.DAMAGED,
        field=f"channel {channel + 1}",
        remedy="Export the recording again, or remove the file from the corpus",
    )


def overflowing_samples(channel: int) -> ReadError:
    """Return the error for a channel, counted from 0, with finite samples that are too large."""
    return ReadError(
        "samples that are too large for any amplifier: a damaged byte, or a wrong data type",
        reason=Reason.DAMAGED,
        field=f"channel {channel + 1}",
        remedy="Copy or export the recording again, or remove the file from the corpus",
    )


def _band_stop(frequency: float) -> Filter:
    """Return the band-stop filter that `mne.filter.notch_filter` designs."""
    transition = _NOTCH_TRANSITION_HZ / 2
    half = frequency * _NOTCH_WIDTH / 2 + transition
    return Filter(frequency + half, frequency - half, transition, transition)


def _notches(line_freq_hz: float, low_pass_hz: float, sfreq: float) -> tuple[float, ...]:
    """Return the line frequency and its harmonics below the low-pass and the Nyquist frequency."""
    edge = min(low_pass_hz, sfreq / 2 - 2 * _NOTCH_TRANSITION_HZ)
    return tuple(line_freq_hz * n for n in range(1, 1 + int(edge // line_freq_hz)))


def _without_sinusoid(signals: NDArray[np.float64], sfreq: float, frequency: float) -> NDArray[np.float64]:
    phase = 2 * np.pi * frequency / sfreq * np.arange(signals.shape[1])
    waves = np.stack([np.cos(phase), np.sin(phase), np.ones_like(phase)], axis=1)
    weights = np.linalg.lstsq(waves, signals.T, rcond=None)[0]
    return _float64(signals - (waves[:, :2] @ weights[:2]).T)


def _resample(signals: NDArray[np.float64], sfreq: float) -> NDArray[np.float64]:
    """Resample to 200 Hz in the frequency domain.

    MNE rounds the lengths of signal and padding after resampling, which stretches and shifts time by up to half a
    sample. Padding to lengths that resample to integers avoids it.
    """
    if sfreq == SAMPLE_RATE_HZ:
        return signals
    ratio = resampling_ratio(sfreq)
    if ratio is None:
        return _float64(
            mne.filter.resample(signals, up=SAMPLE_RATE_HZ, down=sfreq, npad=_RESAMPLING_PAD, verbose="ERROR")
        )
    up, down = ratio.as_integer_ratio()
    whole = np.pad(signals, ((0, 0), (0, -signals.shape[1] % down)), "reflect", reflect_type="odd")
    pad = down * math.ceil(_RESAMPLING_PAD / down)
    return _float64(mne.filter.resample(whole, up=up, down=down, npad=pad, verbose="ERROR"))


def _float64(signals: object) -> NDArray[np.float64]:
    return np.asarray(signals, np.float64)
