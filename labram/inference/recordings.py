"""Continuous recordings for inference: filtered as in training, resampled to 200 Hz, cut into windows.

`labram.inference.signal_checks.check_shape` checks their shape, names and sampling rate.
"""

from collections.abc import Sequence
from numbers import Integral

import numpy as np

from labram.errors import WindowError
from labram.inference.predictor import resample
from labram.inference.signal_checks import Electrodes, Signals, check_values
from labram.input_spec import MAX_PATCHES, MAX_SECONDS, SAMPLE_RATE_HZ
from labram.recipe import PreprocessingRecipe
from labram.signals.filters import LINE_FREQUENCIES_HZ
from labram.signals.preprocessing import preprocess
from labram.signals.recording import Recording


def at_model_rate(signals: Signals, known: Electrodes, sfreq: float) -> Signals:
    """Return the known channels of a filtered recording [channels, samples] at 200 Hz: [N, samples].

    Raises:
        WindowError: If a value is not finite.
    """
    picked = signals[list(known.picks)]
    check_values(picked)
    return resample(picked, sfreq)


def filtered(
    signals: Signals,
    channels: Sequence[str],
    known: Electrodes,
    sfreq: float,
    *,
    line_freq_hz: float | None,
    settings: PreprocessingRecipe,
) -> Signals:
    """Return the known channels of an unfiltered recording as in training: µV at 200 Hz [N, samples].

    Args:
        signals: µV [channels, samples].
        channels: Labels of all channels.
        known: Those that the model knows.
        sfreq: Sampling rate in Hz.
        line_freq_hz: Power line frequency at the place of recording.
        settings: Preprocessing of the recordings that the model was trained on.

    Raises:
        WindowError: If a value of a known channel is not finite, or the line frequency is neither 50 nor 60 Hz.
        ReadError: If it cannot be filtered.
    """
    check_values(signals[list(known.picks)])
    if line_freq_hz not in LINE_FREQUENCIES_HZ:
        problem = "is missing" if line_freq_hz is None else f"{line_freq_hz!r} is neither 50 nor 60"
        raise WindowError(
            f"the line frequency {problem}",
            field="line_freq_hz",
            remedy="Pass the power line frequency in Hz at the place of recording",
        )
    blocks = preprocess(
        Recording(signals, tuple(channels), float(sfreq)),
        known.picks,
        line_freq_hz=line_freq_hz,
        high_pass_hz=settings.high_pass_hz,
        low_pass_hz=settings.low_pass_hz,
        notch=settings.notch,
        back_end=settings.back_end,
    )
    return np.concatenate(list(blocks), axis=1)


def cut(signals: Signals, seconds: int | None) -> Signals:
    """Cut a recording at 200 Hz [N, samples] into consecutive windows [n, N, samples].

    Args:
        signals: The recording.
        seconds: Length of the windows; default: the longest windows of the paper.

    Raises:
        WindowError: If no window of this length fits.
    """
    _check_whole(seconds)
    whole = signals.shape[1] // SAMPLE_RATE_HZ
    longest = min(MAX_SECONDS, MAX_PATCHES // len(signals))
    length = min(longest, whole) if seconds is None else seconds
    if not 1 <= length <= whole:
        raise WindowError(
            f"windows of {length} s do not fit into a recording of {whole} whole seconds",
            field="seconds",
            remedy="Choose windows of 1 s up to the length of the recording",
        )
    count = whole // length
    windows = signals[:, : count * length * SAMPLE_RATE_HZ].reshape(len(signals), count, length * SAMPLE_RATE_HZ)
    return np.ascontiguousarray(windows.swapaxes(0, 1))


def _check_whole(seconds: object) -> None:
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, Integral)):
        raise WindowError(
            f"expected a whole number of seconds, got {seconds!r}",
            field="seconds",
            remedy="Pass an integer, such as seconds=4",
        )
