"""Pauses by time stamps: one that is missing hides none, and what nobody looked for is unknown, not 0."""

import numpy as np
import pytest

from labram.signals.readers.acquisition_gaps import with_unknown_gaps
from labram.signals.readers.time_stamps import longest_gap
from labram.signals.recording import Event, Recording

NAN = np.nan


@pytest.mark.parametrize(
    ("stamps", "gap"),
    [
        ([0, 1, 2, 3], 0.0),
        ([0, 1, 9, 10], 7.0),
        ([0, NAN, NAN, 10], 7.0),
        ([0, NAN, 2, 3], 0.0),
        ([0, 1, NAN, NAN], None),
        ([NAN, 1, 2, 3], None),
        ([NAN, 1, 9, NAN], 7.0),
        ([0, np.inf, 9, 10], 7.0),
        ([10, 11, 2, 3], 8.0),
        ([NAN] * 4, None),
        ([5], None),
        ([], None),
    ],
)
def test_the_longest_gap_is_that_of_the_finite_stamps_or_unknown(stamps: list[float], gap: float | None):
    assert longest_gap(stamps, 1.0) == gap


def test_jitter_is_no_gap():
    stamps = np.array([0.0, 0.0, 0.0, 3.0, 3.0, 3.0])
    assert (longest_gap(stamps, 1.0, jitter_seconds=2.5), longest_gap(stamps, 1.0)) == (0.0, 2.0)


def test_a_recording_does_not_state_that_it_has_no_gaps_unless_told():
    assert Recording(np.zeros((1, 9)), ("Cz",), 1.0).gap_seconds is None


@pytest.mark.parametrize(
    ("code", "onset", "stated", "gap"),
    [
        ("boundary", 3.0, 0.0, None),
        ("EDGE boundary", 3.0, 0.0, None),
        ("BAD boundary", 3.0, 5.0, 5.0),
        ("boundary", 0.0, 0.0, 0.0),
        ("boundary stimulus", 3.0, 0.0, 0.0),
    ],
)
def test_a_joint_of_two_recordings_is_a_gap_of_unknown_duration(
    code: str, onset: float, stated: float, gap: float | None
):
    joined = Recording(np.zeros((1, 9)), ("Cz",), 1.0, (Event(onset, 0.0, code),), stated)
    assert with_unknown_gaps(joined).gap_seconds == gap
