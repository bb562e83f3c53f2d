"""Preprocess raw recordings to the model's input: filtered, in µV, at 200 Hz."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labram.errors import ReadError, Reason
from labram.signals.filters import Chain, design, non_finite_samples, overflowing_samples, reference, whole_seconds
from labram.signals.fused import design_kernel, filter_blocks
from labram.signals.recording import Recording, Samples

MAX_UV = 1e15
"""Filtered samples above this limit are damage: EEG in a unit that is wrong by 10^9 is below, and single precision can
compute the power of such a signal."""
_TRIALS_AT_ONCE = 64
BackEnd = Literal["fused", "reference"]


def preprocess(
    recording: Recording,
    picks: Sequence[int],
    *,
    line_freq_hz: float,
    high_pass_hz: float = 0.1,
    low_pass_hz: float = 75.0,
    notch: bool = True,
    back_end: BackEnd = "fused",
    observe: Callable[[Samples], object] = lambda _: None,
) -> Iterator[NDArray[np.float32]]:
    """Filter the picked channels and resample them to 200 Hz (see `labram.signals.filters.design`).

    ``fused`` holds a few blocks in memory whatever the recording's length. It falls back to ``reference`` if the
    recording is shorter than its combined filters (40 s by default) or if its sampling rate has no simple ratio to
    200 Hz. ``reference`` holds all samples in memory and yields one block. Trials are filtered one by one, with
    ``reference``; filtered signals are resampled only.

    Args:
        recording: Signals in µV; every sample is read once.
        picks: Channels to preprocess, in the order of the result.
        line_freq_hz: Line frequency, 50 or 60 Hz.
        high_pass_hz: Lower band edge.
        low_pass_hz: Upper band edge.
        notch: Whether to remove line noise.
        back_end: Implementation of the filters.
        observe: Called with consecutive pieces of the picked, unfiltered channels, [channels, samples]; it must not
            modify them.

    Yields:
        µV, [channels, 200 · whole seconds], in order; of trials, the whole seconds of each.

    Raises:
        ReadError: DAMAGED if a sample is not finite or above `MAX_UV`, TOO_SHORT for less than one second.
    """
    samples = recording.trial_samples or recording.samples
    if not recording.samples or whole_seconds(samples, recording.sfreq) < 1:
        raise ReadError("shorter than one second", reason=Reason.TOO_SHORT, remedy="Remove the file from the corpus")
    chain = (
        Chain(remove_mean=False, filters=(), sinusoids=())
        if recording.filtered
        else design(
            samples,
            recording.sfreq,
            line_freq_hz=line_freq_hz,
            high_pass_hz=high_pass_hz,
            low_pass_hz=low_pass_hz,
            notch=notch,
        )
    )
    if recording.trial_samples:
        yield from _preprocess_trials(recording, picks, chain, observe)
        return
    fused = back_end == "fused" and not recording.filtered
    kernel = design_kernel(recording.samples, recording.sfreq, chain) if fused else None
    if kernel is not None:
        for block in filter_blocks(recording, picks, kernel, observe):
            yield _within_limit(block, picks)
        return
    signals = recording.read(picks)
    broken = ~np.isfinite(signals).all(axis=1)
    if broken.any():
        raise non_finite_samples(picks[int(broken.argmax())])
    observe(signals)
    yield _within_limit(reference(signals, recording.sfreq, chain), picks)


def _preprocess_trials(
    recording: Recording, picks: Sequence[int], chain: Chain, observe: Callable[[Samples], object]
) -> Iterator[NDArray[np.float32]]:
    """Yield some trials at a time, each filtered by itself, [channels, 200 · whole seconds · trials]."""
    length, channels = recording.trial_samples, len(picks)
    for start in range(0, recording.samples, length * _TRIALS_AT_ONCE):
        signals = recording.read(picks, start, min(start + length * _TRIALS_AT_ONCE, recording.samples))
        broken = ~np.isfinite(signals).all(axis=1)
        if broken.any():
            raise non_finite_samples(picks[int(broken.argmax())])
        observe(signals)
        rows = signals.reshape(channels, -1, length).reshape(-1, length)
        filtered = reference(rows, recording.sfreq, chain).reshape(channels, -1)
        yield _within_limit(filtered, picks)


def _within_limit(filtered: NDArray[np.float32], picks: Sequence[int]) -> NDArray[np.float32]:
    """Return the signals; raise for a channel above `MAX_UV`, or whose finite samples overflowed in the filter."""
    sizes = np.maximum(filtered.max(axis=1), -filtered.min(axis=1))
    broken = ~(sizes <= MAX_UV)  # true for NaN, too
    if broken.any():
        raise overflowing_samples(picks[int(broken.argmax())])
    return filtered
