"""From a recording as it was taken to what the model is made for: filtered, in µV, at 200 Hz."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labram.errors import ReadError, Reason
from labram.signals.filters import design, non_finite_samples, reference, whole_seconds
from labram.signals.fused import design_kernel, filter_blocks
from labram.signals.recording import Recording, Samples

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

    ``fused`` needs a few blocks of memory for a recording of any length. It leaves a recording to ``reference`` that is
    shorter than the chain of its filters (40 s for the default ones) or whose rate is in no simple ratio to 200 Hz.
    Where ``reference`` works, all samples are in memory, and the result is one block.

    Args:
        recording: Signals in µV; every sample is read once.
        picks: Channels to take, in the order of the result.
        line_freq_hz: Mains frequency where it was recorded, 50 or 60.
        high_pass_hz: Lower band edge.
        low_pass_hz: Upper band edge.
        notch: Whether to remove mains.
        back_end: How the filters are applied.
        observe: Is given the picked channels, unfiltered, piece by piece in order, [channels, samples]; it must leave
            them as they are.

    Yields:
        µV, [channels, 200 · whole seconds], in order.

    Raises:
        ReadError: DAMAGED if a sample is not a number, TOO_SHORT for less than one second.
    """
    if whole_seconds(recording.samples, recording.sfreq) < 1:
        raise ReadError("is shorter than one second", reason=Reason.TOO_SHORT, remedy="Leave it out")
    chain = design(
        recording.samples,
        recording.sfreq,
        line_freq_hz=line_freq_hz,
        high_pass_hz=high_pass_hz,
        low_pass_hz=low_pass_hz,
        notch=notch,
    )
    found = design_kernel(recording.samples, recording.sfreq, chain) if back_end == "fused" else None
    if found is not None:
        yield from filter_blocks(recording, picks, found, observe)
        return
    signals = recording.read(picks)
    broken = ~np.isfinite(signals).all(axis=1)
    if broken.any():
        raise non_finite_samples(picks[int(broken.argmax())])
    observe(signals)
    yield reference(signals, recording.sfreq, chain)
