"""The filter chain, in both back ends: what passes, what goes, and what is done with awkward recordings."""

from collections.abc import Callable, Sequence
from fractions import Fraction

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labram.errors import ReadError, Reason
from labram.input_spec import SAMPLE_RATE_HZ as RATE
from labram.signals.filters import design, reference, resampling_ratio, whole_seconds
from labram.signals.preprocessing import preprocess
from labram.signals.recording import Recording

RATES = st.sampled_from([100.0, 128.0, 160.0, 200.0, 250.0, 256.0, 500.0, 512.0])
FEW = settings(max_examples=15, deadline=None, derandomize=True)
Filtered = Callable[..., np.ndarray]


@pytest.fixture(scope="module", params=["reference", "fused"])
def filtered(request: pytest.FixtureRequest) -> Filtered:
    """`preprocess`, its blocks put together."""

    def run(recording: Recording, picks: Sequence[int], **options: object) -> np.ndarray:
        blocks = list(preprocess(recording, picks, back_end=request.param, **options))
        assert all(block.shape[1] % RATE == 0 for block in blocks)
        return np.concatenate(blocks, axis=1)

    return run


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
def test_a_sine_in_the_band_survives(filtered: Filtered, hertz: float, rate: float, seconds: int, mains: float):
    if abs(hertz - mains) < 3 or hertz > 0.9 * rate / 2:
        return
    clean = filtered(sine(hertz, rate, seconds), [0], line_freq_hz=mains)
    assert amplitude(clean[0], hertz) == pytest.approx(20.0, rel=0.01)


@FEW
@given(
    rate=st.sampled_from([128.0, 160.0, 250.0, 256.0, 500.0]),
    seconds=st.integers(1, 40),
    mains=st.sampled_from([50.0, 60.0]),
)
def test_line_noise_falls_by_more_than_20_db(filtered: Filtered, rate: float, seconds: int, mains: float):
    clean = filtered(sine(mains, rate, seconds), [0], line_freq_hz=mains)
    assert amplitude(clean[0], mains) < 2.0


def test_line_noise_stays_without_a_notch(filtered: Filtered):
    clean = filtered(sine(50.0, 256.0, 10), [0], line_freq_hz=50.0, notch=False)
    assert amplitude(clean[0], 50.0) == pytest.approx(20.0, rel=0.01)


def test_what_lies_above_the_band_goes(filtered: Filtered):
    assert amplitude(filtered(sine(98.0, 500.0, 10), [0], line_freq_hz=50.0)[0], 98.0) < 0.1


def test_a_constant_offset_goes_from_long_and_short_recordings(filtered: Filtered):
    for seconds in (1, 10, 60):
        recording = Recording(np.full((1, 256 * seconds), 5000.0), ("CZ",), 256.0)
        assert np.abs(filtered(recording, [0], line_freq_hz=50.0)).max() < 1.0


@FEW
@given(rate=st.floats(100.0, 1000.0), seconds=st.floats(1.0, 60.0))
def test_the_result_has_200_samples_for_each_whole_second(filtered: Filtered, rate: float, seconds: float):
    recording = noise(rate, seconds)
    whole = int(recording.seconds + 1e-9)
    if whole:
        clean = filtered(recording, [0, 1], line_freq_hz=50.0)
        assert clean.shape == (2, RATE * whole)
        assert clean.dtype == np.float32
        assert np.isfinite(clean).all()


@FEW
@given(order=st.permutations(range(20)), seconds=st.sampled_from([1, 5, 60]))
def test_permuting_channels_permutes_the_result(filtered: Filtered, order: list[int], seconds: int):
    recording = noise(256.0, seconds, channels=20)
    plain = filtered(recording, range(20), line_freq_hz=50.0)
    np.testing.assert_allclose(filtered(recording, order, line_freq_hz=50.0), plain[order], rtol=1e-5, atol=1e-5)


def test_the_recording_itself_is_left_as_it_was(filtered: Filtered):
    recording = noise(200.0, 3)
    before = recording.data.copy()
    filtered(recording, [1], line_freq_hz=50.0)
    np.testing.assert_array_equal(recording.data, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_numbers_are_damage_and_the_channel_is_named(filtered: Filtered, bad: float):
    recording = noise(256.0, 2)
    recording.data[1, 100] = bad
    with pytest.raises(ReadError, match="channel 2") as caught:
        filtered(recording, [0, 1], line_freq_hz=50.0)
    assert caught.value.reason is Reason.DAMAGED


def test_damage_in_a_channel_that_is_not_picked_does_not_matter(filtered: Filtered):
    recording = noise(256.0, 2)
    recording.data[1, 100] = np.nan
    assert filtered(recording, [0], line_freq_hz=50.0).shape == (1, 400)


def test_less_than_a_second_is_too_short(filtered: Filtered):
    with pytest.raises(ReadError) as caught:
        filtered(noise(256.0, 0.9), [0], line_freq_hz=50.0)
    assert caught.value.reason is Reason.TOO_SHORT


@FEW
@given(rate=RATES, seconds=st.integers(34, 60), mains=st.sampled_from([50.0, 60.0]))
def test_the_reference_is_what_mne_does_with_its_own_names(rate: float, seconds: int, mains: float):
    signals = noise(rate, seconds).read([0, 1])
    low_pass = 75.0 if rate > 150 else None
    expected = mne.filter.filter_data(signals, rate, 0.1, low_pass, verbose="ERROR")
    if mains < rate / 2 - 2:
        expected = mne.filter.notch_filter(expected, rate, mains, verbose="ERROR")
    expected = mne.filter.resample(expected, up=RATE, down=rate, npad=0, verbose="ERROR")
    chain = design(signals.shape[1], rate, line_freq_hz=mains, high_pass_hz=0.1, low_pass_hz=75.0, notch=True)
    clean = reference(signals, rate, chain)
    assert np.abs(clean - expected[:, : clean.shape[1]])[:, 5 * RATE : -5 * RATE].max() < 1.0


def test_resampling_does_not_move_samples():
    """MNE's own lengths for 512 Hz would: by 0.3 ms at the beginning, and by up to half a sample at the end."""
    for samples in (512 * 60, 512 * 60 + 3, 512 * 60 + 509):
        chain = design(samples, 512.0, line_freq_hz=50.0, high_pass_hz=0.1, low_pass_hz=75.0, notch=False)
        clean = reference(20 * np.sin(2 * np.pi * 40.0 * np.arange(samples) / 512.0)[None], 512.0, chain)
        for second in (1, whole_seconds(samples, 512.0) - 2):
            time = second + np.arange(RATE) / RATE
            waves = np.stack([np.cos(2 * np.pi * 40.0 * time), np.sin(2 * np.pi * 40.0 * time), np.ones(RATE)], axis=1)
            cosine, sine, _ = np.linalg.lstsq(waves, clean[0, second * RATE : (second + 1) * RATE], rcond=None)[0]
            assert abs(np.arctan2(cosine, sine)) / (2 * np.pi * 40.0) < 1e-5, "seconds of delay"


def test_ratios_of_rates_are_exact_or_none():
    assert resampling_ratio(512.0) == Fraction(25, 64)
    assert resampling_ratio(10_000 / 39) == Fraction(39, 50)
    assert resampling_ratio(200.0) == 1
    assert resampling_ratio(256.12345678) is None
    assert resampling_ratio(1e9) is None
