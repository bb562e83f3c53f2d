"""The paper's filter chain (section 3.1): band-pass 0.1-75 Hz, notch at the mains frequency, 200 Hz.

This is the reference back end: MNE's zero-phase FIR filters with its defaults (Hamming window, ``firwin``), in the
order of the published scripts, at double precision, a few channels at a time so that memory stays small.
"""

import hashlib
import importlib.metadata
import math
from collections.abc import Sequence
from pathlib import Path

import mne
import numpy as np
from numpy.typing import NDArray

from labram.errors import ReadError, Reason
from labram.signals.recording import Recording

RATE = 200
"""Samples per second that the model is made for."""

_HAMMING_LENGTH = 3.3
"""Length of a Hamming-windowed FIR filter in units of 1 / transition band (mne.filter.create_filter)."""
_NOTCH_TRANSITION_HZ = 1.0
_CHANNELS_AT_ONCE = 16


def _source_digest() -> str:
    """First 12 digits of the SHA-256 of this package's source and of MNE's version: what filtered signals depend on."""
    folder = Path(__file__).parent
    digest = hashlib.sha256(importlib.metadata.version("mne").encode())
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


VERSION = _source_digest()
"""Changes with the source of `labram.signals`, and so do the keys of stored patches."""


def preprocess(
    recording: Recording,
    picks: Sequence[int],
    *,
    mains_hz: float,
    high_pass_hz: float = 0.1,
    low_pass_hz: float = 75.0,
    notch: bool = True,
) -> NDArray[np.float32]:
    """Filter the picked channels and resample them to 200 Hz.

    Filters are zero-phase and as long as their transition bands ask for (33 s for a high-pass at 0.1 Hz). Where the
    recording is shorter than a filter, the nearest thing that it supports takes its place: instead of the high-pass the
    mean is removed; instead of the notch, the sinusoid of the mains frequency that fits best. A low-pass at or above
    half the recording's rate is left out, there is nothing to remove. Mains harmonics are notched where they lie below
    the low-pass.

    Args:
        recording: Signals in µV.
        picks: Channels to take, in the order of the result.
        mains_hz: Mains frequency where it was recorded, 50 or 60.
        high_pass_hz: Lower band edge.
        low_pass_hz: Upper band edge.
        notch: Whether to remove mains.

    Returns:
        µV, [channels, 200 · whole seconds].

    Raises:
        ReadError: DAMAGED if a sample is not a number, TOO_SHORT for less than one second.
    """
    seconds = math.floor(recording.seconds + 1e-9)
    if seconds < 1:
        raise ReadError("is shorter than one second", reason=Reason.TOO_SHORT, remedy="Leave it out")
    notches = _notches(mains_hz, low_pass_hz, recording.rate) if notch else ()
    filtered = np.empty((len(picks), seconds * RATE), np.float32)
    for start in range(0, len(picks), _CHANNELS_AT_ONCE):
        block = slice(start, start + _CHANNELS_AT_ONCE)
        signals = _finite(recording, picks[block])
        signals = _band_pass(signals, recording.rate, high_pass_hz, low_pass_hz)
        for frequency in notches:
            signals = _notch(signals, recording.rate, frequency)
        filtered[block] = _resample(signals, recording.rate)[:, : seconds * RATE]
    return filtered


def _finite(recording: Recording, picks: Sequence[int]) -> NDArray[np.float64]:
    signals = np.asarray(recording.read(picks), np.float64)
    broken = ~np.isfinite(signals).all(axis=1)
    if broken.any():
        raise ReadError(
            "has samples that are not numbers",
            reason=Reason.DAMAGED,
            field=f"channel {picks[int(broken.argmax())] + 1}",
            remedy="Export the recording again, or leave it out",
        )
    return signals


def _band_pass(signals: NDArray[np.float64], rate: float, high_pass: float, low_pass: float) -> NDArray[np.float64]:
    nyquist = rate / 2
    low_transition = min(max(high_pass / 4, 2.0), high_pass)
    high_transition = min(max(low_pass / 4, 2.0), nyquist - low_pass)
    low = high_pass if _fits(signals, rate, low_transition) else None
    high = low_pass if high_transition > 0 and _fits(signals, rate, high_transition) else None
    if low is None:
        signals = signals - signals.mean(axis=1, keepdims=True)
    if low is None and high is None:
        return signals
    return _float64(
        mne.filter.filter_data(
            signals,
            rate,
            low,
            high,
            l_trans_bandwidth=low_transition,
            h_trans_bandwidth=high_transition,
            verbose="ERROR",
        )
    )


def _notch(signals: NDArray[np.float64], rate: float, frequency: float) -> NDArray[np.float64]:
    if _fits(signals, rate, _NOTCH_TRANSITION_HZ / 2):
        return _float64(
            mne.filter.notch_filter(signals, rate, frequency, trans_bandwidth=_NOTCH_TRANSITION_HZ, verbose="ERROR")
        )
    phase = 2 * np.pi * frequency / rate * np.arange(signals.shape[1])
    waves = np.stack([np.cos(phase), np.sin(phase), np.ones_like(phase)], axis=1)
    weights = np.linalg.lstsq(waves, signals.T, rcond=None)[0]
    return _float64(signals - (waves[:, :2] @ weights[:2]).T)


def _resample(signals: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    return signals if rate == RATE else _float64(mne.filter.resample(signals, up=RATE, down=rate, verbose="ERROR"))


def _notches(mains_hz: float, low_pass_hz: float, rate: float) -> tuple[float, ...]:
    """Mains and its harmonics, as far as the band and the rate let them through."""
    edge = min(low_pass_hz, rate / 2 - 2 * _NOTCH_TRANSITION_HZ)
    return tuple(mains_hz * n for n in range(1, 1 + int(edge // mains_hz)))


def _fits(signals: NDArray[np.float64], rate: float, transition_hz: float) -> bool:
    """Whether a filter with this transition band is no longer than the signals."""
    return bool(signals.shape[1] >= _HAMMING_LENGTH * rate / transition_hz)


def _float64(signals: object) -> NDArray[np.float64]:
    return np.asarray(signals, np.float64)
