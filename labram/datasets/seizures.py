"""Seizures as clinical archives mark them: where each begins and ends; all else is background."""

from collections.abc import Sequence

from labram.datasets.base import LabelSpan

TASK, CLASSES = "seizure", ("background", "seizure")


def spans(seizures: Sequence[tuple[float, float]], seconds: float) -> list[LabelSpan]:
    """Task `seizure` over a whole recording.

    Args:
        seizures: Beginning and end of each, in seconds.
        seconds: Length of the recording.

    Raises:
        ValueError: If one ends before it begins, they overlap, or one lies beyond the recording.
    """
    found: list[LabelSpan] = []
    last = 0.0
    for start, stop in (*sorted(seizures), (seconds, seconds)):
        if not last <= start <= stop <= seconds:
            raise ValueError(f"a seizure from {start} to {stop} after {last} in {seconds} s")
        found += [LabelSpan(TASK, last, start - last, (0.0,)), LabelSpan(TASK, start, stop - start, (1.0,))]
        last = stop
    return [span for span in found if span.duration > 0]
