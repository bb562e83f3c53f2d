"""Hints on a dataset file: a wrong rate, small amplitudes, recordings at one time."""

from pathlib import Path

import numpy as np
import pytest

from labram.corpus import dataset_hints
from labram.corpus.dataset_hints import simultaneous, small_amplitude, wrong_rate
from labram.datasets.base import RecordingFile
from labram.signals.readers.origin import Origin
from labram.signals.recording import Recording
from tests.fixtures.recordings import pink


def with_line_noise(hz: float, rate: float = 250.0) -> Recording:
    data = pink(np.random.default_rng(0), 4, int(30 * rate), 20.0)
    data += 10 * np.sin(2 * np.pi * hz * np.arange(data.shape[1]) / rate)
    return Recording(data, ("Fp1", "Fp2", "C3", "C4"), rate)


def test_a_peak_that_contradicts_the_rate_names_the_rate_that_would_fit() -> None:
    assert wrong_rate(with_line_noise(50.0), 50.0) == ""
    assert wrong_rate(with_line_noise(100.0), 50.0) == ""  # a harmonic
    assert "300 Hz instead of 250 Hz" in wrong_rate(with_line_noise(50 / 300 * 250), 50.0)
    assert "or is the line frequency wrong" in wrong_rate(with_line_noise(60.0), 50.0)
    assert wrong_rate(Recording(pink(np.random.default_rng(0), 4, 7500, 20.0), ("a", "b", "c", "d"), 250.0), 50.0) == ""


def test_a_wrong_rate_of_trials_is_noticed() -> None:
    def hint(rate: float) -> str:
        long = with_line_noise(50.0)
        return wrong_rate(Recording(long.read(range(4)), long.channels, rate, trial_samples=500), 50.0)

    assert hint(250.0) == ""
    assert "250 Hz instead of 200 Hz" in hint(200.0)


def test_amplitudes_divided_by_100_are_named() -> None:
    assert "100 µV" in small_amplitude(0.12)
    assert small_amplitude(12.0) == small_amplitude(None) == ""


def test_recordings_of_two_people_at_one_time_are_pointed_out_unless_they_are_a_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts = {"a.edf": 1000.0, "b.edf": 1030.0, **{f"{n}.edf": 10_000.0 * (n + 1) for n in range(6)}}
    monkeypatch.setattr(dataset_hints, "read_origin", lambda path: Origin(started=starts[path.name]))

    def files(group: str = "") -> list[tuple[RecordingFile, float]]:
        return [(RecordingFile("x", Path(name), name, place=name, group=group), 60.0) for name in starts]

    assert simultaneous(files()) == ["a.edf and b.edf overlap in time: were both recorded together? Then state `group`"]
    assert simultaneous(files("g")) == []
    twice = (RecordingFile("x", Path("b.edf"), "a.edf", place="c.edf"), 60.0)  # nobody is recorded twice at one time
    assert simultaneous([*files(), twice]) == []
    starts |= {f"{n}.edf": 1000.0 for n in range(6)}
    (hint,) = simultaneous(files())
    assert "28 pairs" in hint
