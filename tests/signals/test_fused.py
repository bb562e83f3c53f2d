"""The fused back end: equal to the reference within stated bounds, in little memory, each sample read once."""

import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labram.errors import ReadError, Reason
from labram.input_spec import SAMPLE_RATE_HZ as RATE
from labram.signals import preprocessing
from labram.signals.filters import whole_seconds
from labram.signals.preprocessing import preprocess
from labram.signals.recording import Recording, Samples

RATES = [100.0, 128.0, 160.0, 200.0, 250.0, 256.0, 400.0, 500.0, 512.0, 1000.0, 2048.0]
BAND_HZ = (0.5, 70.0)
NEAR_HALF_THE_RATE_HZ = 1.0
"""Where the recording's rate ends below the band, its last hertz is left out: what belongs there no end of it tells."""
EDGE_SECONDS = 1
AWAY_FROM_EDGES, WITH_EDGES = 1e-3, 2e-2


def eeg(rate: float, samples: int, *, seed: int = 0, channels: int = 2) -> np.ndarray:
    """Pink and white noise, hum, an amplifier's offset and a drift, [channels, samples] in µV."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / rate
    spectrum = np.fft.rfft(rng.standard_normal((channels, samples)))
    spectrum[:, 1:] /= np.sqrt(np.arange(1, spectrum.shape[1]))
    pink = np.fft.irfft(spectrum, samples)
    pink *= 20 / pink.std(axis=1, keepdims=True)
    offset = rng.uniform(-20_000, 20_000, (channels, 1))
    hum = 10 * np.sin(2 * np.pi * rng.choice([50, 60]) * time)
    return pink + rng.standard_normal(pink.shape) + offset + rng.uniform(-1, 1) * time + hum


def both(rate: float, samples: int, *, seed: int = 0, **options: object) -> tuple[np.ndarray, np.ndarray]:
    recording = Recording(eeg(rate, samples, seed=seed), ("C3", "C4"), rate)
    fused = list(preprocess(recording, [1, 0], **options))
    (reference,) = preprocess(recording, [1, 0], back_end="reference", **options)
    return np.concatenate(fused, axis=1), reference


def in_band(signals: np.ndarray, rate: float) -> float:
    """Root of the power that signals at 200 Hz, recorded at `rate`, have in the band."""
    spectrum = np.fft.rfft(signals.astype(np.float64) * np.hanning(signals.shape[1]))
    frequency = np.fft.rfftfreq(signals.shape[1], 1 / RATE)
    band = (frequency >= BAND_HZ[0]) & (frequency <= min(BAND_HZ[1], rate / 2 - NEAR_HALF_THE_RATE_HZ))
    return float(np.linalg.norm(spectrum[:, band]))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    rate=st.sampled_from(RATES),
    seconds=st.floats(1.0, 150.0),
    mains=st.sampled_from([50.0, 60.0]),
    seed=st.integers(0, 2**16),
)
def test_it_agrees_with_the_reference(rate: float, seconds: float, mains: float, seed: int):
    fused, reference = both(rate, round(seconds * rate), seed=seed, line_freq_hz=mains)
    assert fused.shape == reference.shape
    edge = EDGE_SECONDS * RATE
    inner = slice(edge, -edge)
    if fused.shape[1] > 4 * edge:
        assert in_band((fused - reference)[:, inner], rate) < AWAY_FROM_EDGES * in_band(reference[:, inner], rate)
    assert np.linalg.norm(fused - reference) < WITH_EDGES * np.linalg.norm(reference)


@pytest.mark.parametrize("rate", [rate for rate in RATES if rate >= 160])
def test_where_the_band_lies_below_half_the_rate_it_agrees_to_a_hundred_thousandth(rate: float):
    fused, reference = both(rate, round(200.7 * rate), line_freq_hz=50.0)
    inner = slice(RATE, -RATE)
    assert in_band((fused - reference)[:, inner], rate) < 1e-5 * in_band(reference[:, inner], rate)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(high=st.sampled_from([0.5, 1.0, 4.0]), low=st.sampled_from([30.0, 45.0, 99.0, 140.0]), notch=st.booleans())
def test_it_agrees_for_other_bands(high: float, low: float, notch: bool):
    options = {"line_freq_hz": 50.0, "high_pass_hz": high, "low_pass_hz": low, "notch": notch}
    fused, reference = both(500.0, 500 * 70, **options)
    inner = slice(RATE, -RATE)
    assert in_band((fused - reference)[:, inner], 500.0) < AWAY_FROM_EDGES * in_band(reference[:, inner], 500.0)


@pytest.mark.parametrize(("rate", "seconds"), [(256.0, 1.0), (256.0, 39.0), (256.12345678, 60.0)])
def test_short_recordings_and_odd_rates_are_left_to_the_reference(rate: float, seconds: float):
    fused, reference = both(rate, round(seconds * rate), line_freq_hz=50.0)
    np.testing.assert_array_equal(fused, reference)


def test_the_reference_is_not_asked_where_it_is_not_needed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(preprocessing, "reference", None)
    recording = Recording(eeg(10_000 / 39, 20_000), ("C3", "C4"), 10_000 / 39)
    blocks = list(preprocess(recording, [0, 1], line_freq_hz=50.0))
    assert sum(block.shape[1] for block in blocks) == RATE * whole_seconds(20_000, recording.sfreq)


def test_cutting_into_blocks_changes_nothing():
    rate, samples = 128.0, 128 * 700 + 77
    data = eeg(rate, samples)
    fused = list(preprocess(Recording(data, ("C3", "C4"), rate), [0, 1], line_freq_hz=50.0))
    assert len(fused) > 4
    later = Recording(data[:, 128 * 200 :], ("C3", "C4"), rate)
    shifted = np.concatenate(list(preprocess(later, [0, 1], line_freq_hz=50.0)), axis=1)
    whole = np.concatenate(fused, axis=1)[:, 200 * RATE :]
    far = slice(30 * RATE, -30 * RATE)
    assert in_band((whole - shifted)[:, far], rate) < AWAY_FROM_EDGES * in_band(whole[:, far], rate)


@dataclass(frozen=True)
class Endless:
    """A recording that is made while it is read, and remembers which samples were asked for."""

    shape: tuple[int, int]
    asked: list[tuple[int, int]] = field(default_factory=list)

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        self.asked.append((start, stop))
        wave = np.sin(np.arange(start, stop, dtype=np.float32) / 17)
        return wave + np.asarray(picks, np.float32)[:, None]


def test_a_long_recording_needs_little_memory_and_is_read_once_in_order():
    channels, rate = 8, 512
    signal = Endless((channels, rate * 3600 + 5))
    seen: list[tuple[float, int]] = []
    names = tuple(f"C{n}" for n in range(channels))
    blocks = preprocess(
        Recording(signal, names, rate),
        range(channels),
        line_freq_hz=50.0,
        observe=lambda samples: seen.append((float(samples[3, 0]), samples.shape[1])),
    )
    tracemalloc.start()
    seconds = sum(block.shape[1] // RATE for block in blocks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds == 3600
    assert peak < 20e6, "the result alone has 23 MB, the recording 118 MB"
    assert [start for start, _ in signal.asked[1:]] == [stop for _, stop in signal.asked[:-1]]
    assert (signal.asked[0][0], signal.asked[-1][1]) == (0, signal.shape[1])
    assert sum(count for _, count in seen) == signal.shape[1]
    assert seen[0][0] == 3.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 128 * 300, 128 * 400 - 1])
def test_one_non_finite_sample_is_detected_anywhere(bad: float, at: int):
    data = eeg(128.0, 128 * 400, channels=11)
    data[9, at] = bad
    recording = Recording(data, tuple(f"C{n}" for n in range(11)), 128.0)
    with pytest.raises(ReadError, match="channel 10") as caught:
        list(preprocess(recording, [2, 9, *range(2), *range(3, 9)], line_freq_hz=50.0))
    assert caught.value.reason is Reason.DAMAGED
