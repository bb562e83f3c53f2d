"""Label spans of seizures that are marked by start and end; the rest of the recording is background."""

from collections.abc import Sequence

from labram.datasets.base import LabelSpan

TASK, CLASSES = "seizure", ("background", "seizure")


def spans(seizures: Sequence[tuple[float, float]], seconds: float) -> list[LabelSpan]:
    """Return spans of task `seizure` that cover a whole recording.

    Args:
        seizures: Start and end of each seizure in seconds.
        seconds: Duration of the recording.

    Raises:
        ValueError: If a seizure ends before it starts, overlaps another, or exceeds the recording.
    """
    spans: list[LabelSpan] = []
    last = 0.0
    for start, stop in (*sorted(seizures), (seconds, seconds)):
        if not last <= start <= stop <= seconds:
            raise ValueError(f"invalid seizure from {start} to {stop} s: expected between {last} and {seconds} s")
        spans += [LabelSpan(TASK, last, start - last, (0.0,)), LabelSpan(TASK, start, stop - start, (1.0,))]
        last = stop
    return [span for span in spans if span.duration > 0]
