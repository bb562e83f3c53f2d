"""All filters and the resampling in one pass: overlap-save in the frequency domain, at single precision.

The impulse responses of the reference filters are convolved into one symmetric response. The spectrum of a block is
multiplied by that of the response, cropped or padded at 100 Hz, and transformed back. Blocks overlap by the length of
the response; samples affected by circular convolution are discarded (overlap-save).

Both ends are extended by odd reflection, as MNE does for each filter. For symmetric filters, the first of which rejects
constants, one reflection before the combined filter equals a reflection before each filter. So the ends agree with the
reference, except for differences in resampling.

Shape letters: C channels, G channels per chunk, B samples of a block, N samples of the recording.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from labram.input_spec import SAMPLE_RATE_HZ
from labram.signals.filters import Chain, Filter, non_finite_samples, resampling_ratio, whole_seconds
from labram.signals.recording import Recording, Samples

_CHANNELS_AT_ONCE = 4
"""Channels that SciPy transforms at once; fewer take nearly as long, more exceed the CPU cache."""
_SAMPLES_AT_ONCE = 1 << 22
"""Samples read at once over all channels, because blocks are large at high sampling rates."""
_BLOCK = 4
"""Length of a block in lengths of the response: a quarter of the work is overlap, and a block fits into the cache."""


@dataclass(frozen=True)
class Kernel:
    """Combined filter and resampling of a block.

    Attributes:
        block: Input samples, B.
        margin: Input samples at each end whose output is discarded.
        up: Output samples for every `down` input samples; `block` and `margin` are multiples of `down`.
        down: See `up`.
        gain: float32, factor of each bin of the block's spectrum that is kept.
    """

    block: int
    margin: int
    up: int
    down: int
    gain: NDArray[np.float32]

    @property
    def hop(self) -> int:
        """Input samples of a block whose output is used."""
        return self.block - 2 * self.margin

    def resampled(self, samples: int) -> int:
        """Return the number of output samples for a multiple of `down` input samples."""
        return samples // self.down * self.up


def design_kernel(samples: int, sfreq: float, chain: Chain) -> Kernel | None:
    """Return the kernel for a recording, or None if it needs `labram.signals.filters.reference`.

    That is the case if the recording is shorter than its combined filters, or its sampling rate has no simple ratio to
    200 Hz.
    """
    ratio = resampling_ratio(sfreq)
    if ratio is None or chain.remove_mean or chain.sinusoids:
        return None
    response = _response(sfreq, chain.filters)
    if samples < len(response):
        return None
    up, down = ratio.as_integer_ratio()
    margin = -(-(len(response) // 2) // down)
    steps = min(-(-_BLOCK * len(response) // down), -(-samples // down) + 2 * margin)
    return _kernel(sfreq, chain.filters, fft.next_fast_len(steps, real=True), margin, up, down)


def filter_blocks(
    recording: Recording,
    picks: Sequence[int],
    kernel: Kernel,
    observe: Callable[[Samples], object],
) -> Iterator[NDArray[np.float32]]:
    """Filter and resample a recording of any length, with a few blocks in memory.

    Args:
        recording: Signals in µV; every sample is read once.
        picks: Channels to preprocess, in the order of the result.
        kernel: Kernel of this recording, see `design_kernel`.
        observe: Called with every piece of the recording as it is read, [C, samples].

    Yields:
        µV, [C, 200 · whole seconds], in order.

    Raises:
        ReadError: DAMAGED if a sample is not finite.
    """
    blocks = _blocks(recording, picks, kernel, observe)
    missing = SAMPLE_RATE_HZ * whole_seconds(recording.samples, recording.sfreq)
    hop = kernel.resampled(kernel.hop)
    rest = np.empty((len(picks), 0), np.float32)
    while missing:
        block_CB = next(blocks)
        kept = rest.shape[1]
        length = min(kept + hop, missing)
        out = np.empty((len(picks), length), np.float32)
        out[:, :kept] = rest
        for start in range(0, len(picks), _CHANNELS_AT_ONCE):
            first = max(0, min(start, len(picks) - _CHANNELS_AT_ONCE))  # the last chunk overlaps the one before
            chunk = slice(first, first + _CHANNELS_AT_ONCE)
            _filter(block_CB[chunk], kernel, out[chunk, kept:], picks[chunk])
        whole = length // SAMPLE_RATE_HZ * SAMPLE_RATE_HZ
        rest = out[:, whole:]
        missing -= whole
        if whole:
            yield out[:, :whole]


def _filter(block_GB: NDArray[np.float32], kernel: Kernel, out: NDArray[np.float32], picks: Sequence[int]) -> None:
    """Write the output of the block after its margin to `out`."""
    spectrum = fft.rfft(block_GB, axis=1)
    broken = ~np.isfinite(spectrum[:, 0])  # the sum of the samples
    if broken.any():
        raise non_finite_samples(picks[int(broken.argmax())])
    kept = spectrum[:, : len(kernel.gain)]
    with np.errstate(invalid="ignore"):  # an overflow is detected in the output
        kept *= kernel.gain
    filtered = fft.irfft(kept, kernel.resampled(kernel.block), axis=1, overwrite_x=True)
    start = kernel.resampled(kernel.margin)
    out[:] = filtered[:, start : start + out.shape[1]]


def _blocks(
    recording: Recording, picks: Sequence[int], kernel: Kernel, observe: Callable[[Samples], object]
) -> Iterator[NDArray[np.float32]]:
    """Yield blocks [C, B] of the extended recording in a reused array, minus the first sample of each channel.

    Single precision suffices for EEG, but not with an amplifier's DC offset of many mV. The response is zero at 0 Hz,
    so subtracting a constant does not change the output.
    """
    block, margin, last = kernel.block, kernel.margin, recording.samples - 1
    window_CB = np.empty((len(picks), block), np.float32)
    at_once = max(1, _SAMPLES_AT_ONCE // len(picks))
    begin, filled = -margin, margin
    while True:
        stop = min(begin + block, last + 1)
        for start in range(begin + filled, stop, at_once):
            samples = recording.read(picks, start, min(start + at_once, stop))
            observe(samples)
            if start == 0:
                offset = samples[:, :1].astype(np.float64)
            into = window_CB[:, start - begin : start - begin + samples.shape[1]]
            with np.errstate(invalid="ignore"):  # non-finite samples are detected in the spectrum
                np.subtract(samples, offset, out=into, casting="same_kind")
        if begin < 0:
            window_CB[:, :margin] = -window_CB[:, 2 * margin : margin : -1]
        _extend(window_CB, last - begin, margin)
        yield window_CB
        window_CB[:, : 2 * margin] = window_CB[:, block - 2 * margin :]
        begin, filled = begin + kernel.hop, 2 * margin


def _extend(window_CB: NDArray[np.float32], last: int, margin: int) -> None:
    """Extend the window beyond the recording's last sample: `margin` reflected samples, then zeros."""
    after = window_CB.shape[1] - 1 - last
    if after <= 0:
        return
    reflected = min(after, margin)
    pivot = window_CB[:, last : last + 1]
    window_CB[:, last + 1 : last + 1 + reflected] = 2 * pivot - window_CB[:, last - reflected : last][:, ::-1]
    window_CB[:, last + 1 + reflected :] = 0.0


@lru_cache(maxsize=8)
def _response(sfreq: float, filters: tuple[Filter, ...]) -> NDArray[np.float64]:
    """Return the impulse response of all filters in sequence, symmetric, of odd length."""
    combined = np.ones(1)
    for fir in filters:
        combined = signal.fftconvolve(combined, fir.response(sfreq))
    return np.asarray(combined, np.float64)


@lru_cache(maxsize=8)
def _kernel(sfreq: float, filters: tuple[Filter, ...], steps: int, margin: int, up: int, down: int) -> Kernel:
    block, resampled = steps * down, steps * up
    response = _response(sfreq, filters)
    centred = np.zeros(block)
    centred[: len(response)] = response
    gain = fft.rfft(np.roll(centred, -(len(response) // 2))).real
    gain = gain[: min(block, resampled) // 2 + 1] * (resampled / block)
    if up != down and min(block, resampled) % 2 == 0:
        # The bin at the lower Nyquist frequency stands for two frequencies on one side and for one on the other.
        gain[-1] *= 2.0 if up < down else 0.5
    return Kernel(block, margin * down, up, down, gain.astype(np.float32))
