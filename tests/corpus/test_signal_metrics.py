"""Metrics are those of the signal, however it is cut into blocks; and what is no EEG shows in them."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labram.corpus.catalogue import SCHEMA
from labram.corpus.rules import check_rules, recording_rules
from labram.corpus.signal_metrics import SignalMetrics
from labram.corpus.spectra import unit_correction
from labram.recipe import QualityRecipe
from labram.signals.preprocessing import preprocess
from labram.signals.recording import Recording
from labram.store.store import to_patches

MONTAGE = ("FP1", "FP2", "C3", "C4", "O1", "O2")
RATE, SECONDS = 200, 40
Row = dict[str, object]


def eeg(seed: int = 0, *, rate: int = RATE, seconds: int = SECONDS, sd_uv: float = 15.0) -> np.ndarray:
    """What EEG looks like to a statistician: power that falls with frequency, and channels that share some of it."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal((len(MONTAGE) + 1, seconds * rate)))
    spectrum[:, 1:] *= np.arange(1, spectrum.shape[1]) ** -0.6
    spectrum[:, 0] = 0
    noise = np.fft.irfft(spectrum, seconds * rate)
    mixed = noise[1:] + 0.8 * noise[0]
    return (mixed / mixed.std() * sd_uv).astype(np.float32)


def figures_of(
    raw: np.ndarray, rate: float = RATE, cuts: Sequence[int] = (), *, montage: Sequence[str] = MONTAGE
) -> Row:
    """Metrics of a signal that is stored as it is, at a multiple of 200 Hz, or of one that is not stored."""
    metrics = SignalMetrics(montage[: len(raw)], rate, 50.0)
    for block in np.split(raw, sorted(cuts), axis=1):
        metrics.add_raw(block)
    if rate % 200 == 0:
        patches = to_patches(raw[:, :: int(rate // 200)])
        metrics.add_patches(patches[:13])
        metrics.add_patches(patches[13:])
    return metrics.row()


def broken(row: Row, *, rate: float = RATE) -> set[str]:
    """Codes of the critical rules that a recording with these figures breaks."""
    known = {name: value for name, value in row.items() if not isinstance(value, list)}
    channels = len(np.atleast_1d(row["channel_flat_fraction"]))
    frame = pd.DataFrame([{**known, "recording_id": "set-0", "rate_hz": rate, "channels": channels}])
    suite = [rule for rule in recording_rules(QualityRecipe()) if rule.column in frame and rule.severity == "critical"]
    return {str(one.rule.code) for one in check_rules(frame, suite).outcomes if one.recordings}


def same(one: Row, other: Row) -> bool:
    return all(
        one[name] == other[name]
        if isinstance(one[name], str | None)
        else np.allclose(np.array(one[name], float), np.array(other[name], float), rtol=1e-4, equal_nan=True)
        for name in one
    )


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, SECONDS * RATE - 1), max_size=8, unique=True))
def test_figures_do_not_depend_on_how_a_recording_is_cut(cuts: list[int]) -> None:
    raw = eeg()
    raw[2, 3000:3010] = np.nan
    assert same(figures_of(raw, cuts=cuts), figures_of(raw))


def test_every_figure_is_a_column_and_every_column_of_figures_has_one() -> None:
    columns = {name for name in SCHEMA.names if name.startswith("channel_")}
    row = figures_of(eeg())
    assert set(row) <= set(SCHEMA.names)
    assert columns <= set(row)
    for name in columns - {"channel_correlation"}:
        assert len(row[name]) == len(MONTAGE)  # type: ignore[arg-type]


def test_eeg_breaks_no_rule() -> None:
    for seed in range(5):
        assert broken(figures_of(eeg(seed))) == set()
        assert broken(figures_of(eeg(seed, seconds=14, sd_uv=60.0))) == set()


def test_figures_are_right() -> None:
    raw = eeg(sd_uv=20.0)
    row = figures_of(raw)
    np.testing.assert_allclose(row["channel_sd_uv"], raw.std(axis=1), rtol=0.01)
    for share in (50, 95, 99):
        np.testing.assert_allclose(row[f"channel_p{share}_uv"], np.percentile(np.abs(raw), share, axis=1), rtol=0.1)
    assert -1.4 < float(row["psd_slope"]) < -1.0  # type: ignore[arg-type]
    assert 0.3 < float(row["channel_correlation"]) < 0.6  # type: ignore[arg-type]
    sine = np.sin(2 * np.pi * 10 * np.arange(raw.shape[1]) / RATE, dtype=np.float32) * 10 * np.sqrt(2)
    assert figures_of(np.tile(sine, (6, 1)) + raw * 1e-3)["band_rms_uv"] == pytest.approx(
        10 * np.exp(np.euler_gamma / 2), rel=0.02
    ), "a sinusoid is no noise: its mean logarithm is not below its mean"


def test_mains_are_measured_before_they_are_filtered_out() -> None:
    hum = 30 * np.sin(2 * np.pi * 50 * np.arange(SECONDS * RATE) / RATE).astype(np.float32)
    assert float(figures_of(eeg())["line_noise_ratio"]) < 0.05  # type: ignore[arg-type]
    assert float(figures_of(eeg() + hum)["line_noise_ratio"]) > 1.0  # type: ignore[arg-type]


def test_flat_saturated_clipped_and_missing_are_told_by_channel() -> None:
    raw = eeg()
    raw[0] = 3.0
    raw[1] = np.clip(raw[1], -8.0, 8.0)
    raw[2, 400:410] = 40_000.0
    raw[3, 900] = np.nan
    raw[:, 2000 : 2000 + 5 * RATE] = 0.0
    row = figures_of(np.nan_to_num(raw)) | {"channel_missing_samples": figures_of(raw)["channel_missing_samples"]}
    assert np.round(row["channel_flat_fraction"], 3).tolist() == [1.0, *[5 / 40] * 5]  # type: ignore[call-overload]
    assert row["dead_seconds"] == 5
    assert row["channel_saturated_fraction"][1] > 0.1  # type: ignore[index]
    assert max(row["channel_saturated_fraction"][3:]) < 0.001  # type: ignore[index]
    assert row["channel_clipped_samples"] == [0, 0, 10, 0, 0, 0]
    assert row["channel_missing_samples"] == [0, 0, 0, 1, 0, 0]


def _white(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-50, 50, (6, SECONDS * RATE))


def _band_powers_held(rng: np.random.Generator) -> np.ndarray:
    """Ten values a second, each written twenty times."""
    return np.repeat(np.exp(rng.standard_normal((6, SECONDS * 10))), RATE // 10, axis=1)


def _band_powers_smooth(rng: np.random.Generator) -> np.ndarray:
    """The same, interpolated by splines as some exports are."""
    coarse = np.fft.rfft(rng.standard_normal((6, SECONDS * 2)))
    return np.fft.irfft(np.pad(coarse, ((0, 0), (0, SECONDS * RATE // 2 + 1 - coarse.shape[1]))), SECONDS * RATE) * 1e3


def _replayed(rng: np.random.Generator) -> np.ndarray:
    """A phantom head that is fed EEG from a converter of few bits."""
    return np.round(np.repeat(eeg(int(rng.integers(99)), rate=40), 5, axis=1) / 8) * 8


def _sinusoids(rng: np.random.Generator) -> np.ndarray:
    """The test signal of an amplifier: each channel its own frequency."""
    time = np.arange(SECONDS * RATE) / RATE
    return 15 * np.stack([np.sin(2 * np.pi * frequency * time) for frequency in (3, 5, 7, 11, 13, 17)])


def _one_source(rng: np.random.Generator) -> np.ndarray:
    """A loose reference, or a phantom whose electrodes are all at one place."""
    return np.tile(eeg()[:1], (6, 1)) * rng.uniform(0.8, 1.2, (6, 1)) + 0.1 * rng.standard_normal((6, SECONDS * RATE))


@pytest.mark.parametrize(
    "make",
    [_white, _band_powers_held, _band_powers_smooth, _replayed, _sinusoids, _one_source],
    ids=lambda f: f.__name__,
)
def test_what_is_no_eeg_is_found_out(make: Callable[[np.random.Generator], np.ndarray]) -> None:
    for seed in range(3):
        raw = make(np.random.default_rng(seed)).astype(np.float32)
        assert "not_eeg" in broken(figures_of(raw))


def test_band_powers_at_their_own_rate_are_too_slow() -> None:
    slow = np.exp(np.random.default_rng(0).standard_normal((6, 400))).astype(np.float32)
    assert "low_rate" in broken(figures_of(slow, 10.0), rate=10.0)


@pytest.mark.parametrize("seconds", [1, 2])
def test_one_second_is_enough_to_tell_eeg_of_many_channels_from_noise(seconds: int) -> None:
    names = [f"E{number}" for number in range(32)]
    for seed in range(10):
        rng = np.random.default_rng(seed)
        noise = figures_of(rng.uniform(-50, 50, (32, 256 * seconds)).astype(np.float32), 256.0, montage=names)
        assert broken(noise, rate=256.0) == {"not_eeg"}


def test_spikes_do_not_make_noise_of_eeg() -> None:
    raw = eeg()
    raw[:, [1000, 3333, 5000]] += 20_000.0
    assert broken(figures_of(raw)) & {"not_eeg", "implausible_unit"} == set()


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 1.0, 1e3])
def test_the_unit_is_seen_in_the_typical_amplitude(factor: float) -> None:
    row = figures_of(eeg() * np.float32(factor))
    assert unit_correction(float(row["band_rms_uv"]), 10.0) == pytest.approx(1 / factor)  # type: ignore[arg-type]
    assert ("implausible_unit" in broken(row)) == (factor != 1.0)


def test_the_signal_is_known_again_in_another_unit_order_and_rounding() -> None:
    raw = eeg()
    known = figures_of(raw)["signal_hash"]
    assert figures_of(raw * np.float32(1e-3))["signal_hash"] == known
    assert figures_of(np.round(raw, 1))["signal_hash"] == known
    order = [3, 1, 0, 2, 5, 4]
    assert figures_of(raw[order], montage=[MONTAGE[i] for i in order])["signal_hash"] == known


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_two_recordings_are_not_taken_for_one(seed: int, seconds: int) -> None:
    one, other = (figures_of(eeg(number, seconds=seconds))["signal_hash"] for number in (seed, seed + 1))
    assert one != other
    assert figures_of(eeg(seed, seconds=seconds)[:5])["signal_hash"] != one


@pytest.mark.parametrize("seconds", [10, 60])
def test_recordings_of_many_subjects_with_the_same_artefact_are_not_copies(seconds: int) -> None:
    """The first 0.1 s of one channel at the rail of the amplifier, before the filters spread it."""
    hashes = set()
    for subject in range(8):
        raw = eeg(subject, seconds=seconds)
        raw[2, :20] = 32_700.0
        blocks = preprocess(Recording(raw, MONTAGE, 200.0), range(len(MONTAGE)), line_freq_hz=50.0)
        metrics = SignalMetrics(MONTAGE, 200.0, 50.0)
        for block in blocks:
            metrics.add_patches(to_patches(block))
        hashes.add(metrics.row()["signal_hash"])
    assert len(hashes) == 8
    assert "" not in hashes


def test_an_artefact_does_not_hide_a_copy_in_another_rounding() -> None:
    raw = eeg()
    raw[2, :20] = 32_700.0
    assert figures_of(np.round(raw, 1))["signal_hash"] == figures_of(raw)["signal_hash"] != ""


@pytest.mark.parametrize("change", [lambda raw: raw[:, 600:], lambda raw: raw[:, :-1000], lambda raw: np.round(raw, 1)])
def test_recordings_with_common_seconds_have_a_common_sketch(change: Callable[[np.ndarray], np.ndarray]) -> None:
    def sketch(raw: np.ndarray) -> set[int]:
        return set(figures_of(raw)["signal_sketch"])  # type: ignore[call-overload]

    raw = eeg(seconds=60)
    assert len(sketch(raw)) == 16
    assert len(sketch(raw) & sketch(change(raw))) >= 10
    assert not any(sketch(raw) & sketch(eeg(seed, seconds=60)) for seed in range(1, 20))


def test_a_recording_without_a_signal_has_no_hash() -> None:
    row = figures_of(np.zeros((6, 2000), np.float32))
    assert (row["signal_hash"], row["signal_sketch"]) == ("", [])


def test_a_day_is_sampled_from_end_to_end_in_little_memory() -> None:
    metrics = SignalMetrics(MONTAGE, 200.0, 50.0)
    quiet, loud = eeg(), eeg() * 4
    for number in range(540):
        metrics.add_raw(quiet if number < 270 else loud)
    (raw,) = (part for part in vars(metrics).values() if hasattr(part, "add") and hasattr(part, "_ranks"))
    assert 100 < sum(part.segments for part in raw._ranks.values()) <= 33 + 5400 // 16
    assert len(raw._ranks) < 16
    rms = float(metrics.row()["band_rms_uv"])  # type: ignore[arg-type]
    single = float(figures_of(quiet)["band_rms_uv"])  # type: ignore[arg-type]
    assert rms == pytest.approx(2 * single, rel=0.1), "half of the segments are of either half of the day"
