"""The reference filter chain: what passes, what goes, and what it does with awkward recordings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labram.errors import ReadError, Reason
from labram.signals.filters import RATE, VERSION, preprocess
from labram.signals.recording import Recording

RATES = st.sampled_from([100.0, 128.0, 160.0, 200.0, 250.0, 256.0, 500.0, 512.0])
FEW = settings(max_examples=15, deadline=None)


def sine(hertz: float, rate: float, seconds: float, amplitude: float = 20.0) -> Recording:
    time = np.arange(round(seconds * rate)) / rate
    return Recording(amplitude * np.sin(2 * np.pi * hertz * time)[None], ("CZ",), rate)


def noise(rate: float, seconds: float, channels: int = 2) -> Recording:
    data = np.random.default_rng(0).standard_normal((channels, round(seconds * rate))) * 10
    return Recording(data, tuple(f"C{n}" for n in range(channels)), rate)


def amplitude(signal: np.ndarray, hertz: float) -> float:
    """Amplitude of a sinusoid in the middle of a signal at 200 Hz, away from the ends."""
    middle = signal[len(signal) // 4 : -(len(signal) // 4)].astype(np.float64)
    time = np.arange(len(middle)) / RATE
    waves = np.stack([np.cos(2 * np.pi * hertz * time), np.sin(2 * np.pi * hertz * time)], axis=1)
    return float(np.linalg.norm(np.linalg.lstsq(waves, middle, rcond=None)[0]))


@FEW
@given(hertz=st.floats(1.0, 60.0), rate=RATES, seconds=st.integers(40, 60), mains=st.sampled_from([50.0, 60.0]))
def test_a_sine_in_the_band_survives(hertz: float, rate: float, seconds: int, mains: float):
    if abs(hertz - mains) < 3 or hertz > 0.9 * rate / 2:
        return
    filtered = preprocess(sine(hertz, rate, seconds), [0], mains_hz=mains)
    assert amplitude(filtered[0], hertz) == pytest.approx(20.0, rel=0.01)


@FEW
@given(
    rate=st.sampled_from([128.0, 160.0, 250.0, 256.0, 500.0]),
    seconds=st.integers(1, 40),
    mains=st.sampled_from([50.0, 60.0]),
)
def test_mains_hum_falls_by_more_than_20_db(rate: float, seconds: int, mains: float):
    filtered = preprocess(sine(mains, rate, seconds), [0], mains_hz=mains)
    assert amplitude(filtered[0], mains) < 2.0


def test_mains_hum_stays_where_the_recipe_says_so():
    filtered = preprocess(sine(50.0, 256.0, 10), [0], mains_hz=50.0, notch=False)
    assert amplitude(filtered[0], 50.0) == pytest.approx(20.0, rel=0.01)


def test_what_lies_above_the_band_goes():
    assert amplitude(preprocess(sine(98.0, 500.0, 10), [0], mains_hz=50.0)[0], 98.0) < 0.1


def test_a_constant_offset_goes_from_long_and_short_recordings():
    for seconds in (1, 10, 60):
        recording = Recording(np.full((1, 256 * seconds), 5000.0), ("CZ",), 256.0)
        assert np.abs(preprocess(recording, [0], mains_hz=50.0)).max() < 1.0


@FEW
@given(rate=st.floats(100.0, 1000.0), seconds=st.floats(1.0, 45.0))
def test_the_result_has_200_samples_for_each_whole_second(rate: float, seconds: float):
    recording = noise(rate, seconds)
    whole = int(recording.seconds + 1e-9)
    if whole:
        filtered = preprocess(recording, [0, 1], mains_hz=50.0)
        assert filtered.shape == (2, RATE * whole)
        assert filtered.dtype == np.float32
        assert np.isfinite(filtered).all()


@FEW
@given(order=st.permutations(range(20)), seconds=st.sampled_from([1, 5, 40]))
def test_permuting_channels_permutes_the_result(order: list[int], seconds: int):
    recording = noise(256.0, seconds, channels=20)
    plain = preprocess(recording, range(20), mains_hz=50.0)
    np.testing.assert_allclose(preprocess(recording, order, mains_hz=50.0), plain[order], rtol=1e-5, atol=1e-5)


def test_the_recording_itself_is_left_as_it_was():
    recording = noise(200.0, 3)
    before = recording.data.copy()
    preprocess(recording, [1], mains_hz=50.0)
    np.testing.assert_array_equal(recording.data, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_numbers_are_damage_and_the_channel_is_named(bad: float):
    recording = noise(256.0, 2)
    recording.data[1, 100] = bad
    with pytest.raises(ReadError, match="channel 2") as caught:
        preprocess(recording, [0, 1], mains_hz=50.0)
    assert caught.value.reason is Reason.DAMAGED


def test_damage_in_a_channel_that_is_not_picked_does_not_matter():
    recording = noise(256.0, 2)
    recording.data[1, 100] = np.nan
    assert preprocess(recording, [0], mains_hz=50.0).shape == (1, 400)


def test_less_than_a_second_is_too_short():
    with pytest.raises(ReadError) as caught:
        preprocess(noise(256.0, 0.9), [0], mains_hz=50.0)
    assert caught.value.reason is Reason.TOO_SHORT


def test_the_version_is_short_and_steady():
    assert len(VERSION) == 12
    int(VERSION, 16)
