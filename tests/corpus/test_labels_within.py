"""Labels lie within their recording."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labram.corpus.process_recording import _labels
from labram.datasets.base import LabelSpan


@pytest.mark.parametrize(
    ("onset", "duration", "kept", "noted"),
    [
        (2.0, 4.0, [(2.0, 4.0)], []),
        (8.0, 4.0, [(8.0, 2.0)], []),
        (10.0, 1.0, [], ["excluded_beyond_recording=1"]),
        (float("nan"), 1.0, [], ["excluded_onset_missing=1"]),
        (2.0, float("nan"), [], ["excluded_onset_missing=1"]),
        (float("-inf"), 1.0, [], ["excluded_onset_missing=1"]),
    ],
)
def test_a_label_without_a_time_is_excluded_and_counted(
    onset: float, duration: float, kept: list[tuple[float, float]], noted: list[str]
) -> None:
    spans = [LabelSpan("task", onset, duration, (0.0,))]
    dataset = SimpleNamespace(sidecars=lambda _: [], labels=lambda *_: spans, published=False)
    item: Any = SimpleNamespace(dataset=dataset, file=None, corpus=Path())
    labels, warnings = _labels(item, None, 10)  # type: ignore[arg-type]
    assert [(label["start"], label["seconds"]) for label in labels] == kept
    assert warnings == noted
