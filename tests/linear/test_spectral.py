"""The spectral model, the baseline of every task, finds what a spectrum holds, and says how it was made."""

import json

import numpy as np
import pytest

from labram.errors import LabelError
from labram.evaluation import baselines
from labram.linear.features import (
    BANDS,
    WindowGroup,
    common_channels,
    log_powers,
    power_density,
    standardise_within,
)
from labram.recipe import TaskRecipe

SECONDS = np.arange(800) / 200


def task(kind="binary", metric="auroc", classes=("rest", "task"), **settings):
    settings = {"baselines": ("spectral",), **settings}
    return TaskRecipe(name="t", title="T", dataset="d", kind=kind, metric=metric, classes=classes, **settings)


def group_of(signals, channels, subjects=None):
    """In two parts, as from the store; without `subjects`, of one subject."""
    half = len(signals) // 2
    keys = ["s"] * len(signals) if subjects is None else list(subjects)
    return WindowGroup([signals[:half], signals[half:]], channels, keys)


def fit(groups, y, task):
    return baselines.fit_all(lambda _: groups, y, task, common_channels(groups))[0]


def band_powers(signals, features="bands"):
    return log_powers(power_density(signals), features)


def rhythm(frequency, amplitude, windows, channels=2, seed=0):
    generator = np.random.default_rng(seed)
    phase = generator.uniform(0, 2 * np.pi, (windows, channels, 1))
    wave = np.reshape(amplitude, (-1, 1, 1)) * np.sin(2 * np.pi * frequency * SECONDS + phase)
    return (wave + generator.normal(size=(windows, channels, 800))).astype(np.float32)


def test_a_ten_hertz_rhythm_shows_in_alpha_with_its_power():
    powers = band_powers(rhythm(10, 20.0, 3))
    assert powers.shape == (3, 2, 5)
    assert (powers.argmax(axis=2) == list(BANDS).index("alpha")).all()
    width = BANDS["alpha"][1] - BANDS["alpha"][0]
    assert 10 ** powers[0, 0, 2] * width == pytest.approx(20**2 / 2, rel=0.15)


def test_a_flat_channel_has_a_finite_power():
    assert np.isfinite(band_powers(np.zeros((1, 1, 200), np.float32), "bins")).all()


def test_alpha_power_tells_two_states_apart_on_new_subjects():
    y = np.tile([0, 1], 60)
    keys = np.repeat([f"s{index}" for index in range(6)], 20)
    channels = ("O1", "O2")
    baseline = fit([group_of(rhythm(10, 1 + 2 * y, 120), channels, keys)], y, task())
    predicted = baseline.predict(lambda _: [group_of(rhythm(10, 1 + 2 * y, 120, seed=9), channels)])
    assert predicted.shape == (120,)
    assert ((predicted > 0.5) == y).mean() > 0.95


def test_frequencies_within_one_band_are_told_apart_by_the_one_hertz_bins():
    y = np.tile([0, 1, 2], 40)
    signals = np.concatenate([rhythm((14, 18, 22)[label], 2.0, 1, seed=row) for row, label in enumerate(y)])
    keys = np.repeat(["a", "b", "c", "d"], 30)
    ssvep = task("multiclass", "cohen_kappa", ("14 Hz", "18 Hz", "22 Hz"))
    baseline = fit([group_of(signals, ("O1", "O2"), keys)], y, ssvep)
    assert baseline.card.features == "bins"
    predicted = baseline.predict(lambda _: [group_of(signals, ("O1", "O2"))])
    assert predicted.sum(axis=1) == pytest.approx(np.ones(120))
    assert (predicted.argmax(axis=1) == y).mean() > 0.95


def test_regression_gives_a_value_for_each_target():
    generator = np.random.default_rng(0)
    level = generator.uniform(0, 2, 80)
    y = np.stack([level, -3 * level], axis=1)
    group = group_of(rhythm(10, 10**level, 80), ("O1", "O2"), np.repeat(["a", "b", "c", "d"], 20))
    baseline = fit([group], y, task("regression", "r2", ("one", "two")))
    predicted = baseline.predict(lambda _: [group])
    assert predicted.shape == (80, 2)
    assert np.corrcoef(predicted[:, 1], y[:, 1])[0, 1] > 0.9


def test_montages_meet_on_the_channels_they_share_whatever_their_order():
    y = np.tile([0, 1], 20)
    one = group_of(rhythm(10, 1 + 2 * y[:20], 20, channels=3), ("O1", "CZ", "O2"), ["a"] * 20)
    other = group_of(rhythm(10, 1 + 2 * y[20:], 20), ("O2", "O1"), ["b"] * 20)
    baseline = fit([one, other], y, task())
    assert baseline.card.channels == ("O1", "O2")
    assert len(baseline.predict(lambda _: [other, one])) == 40


def test_montages_without_a_shared_channel_are_an_error_that_says_so():
    groups = [group_of(rhythm(10, 1.0, 2), ("O1", "O2")), group_of(rhythm(10, 1.0, 2), ("F3", "F4"))]
    with pytest.raises(LabelError, match="no channel is common"):
        fit(groups, np.array([0, 1, 0, 1]), task())


def test_a_recording_without_the_baselines_channels_is_refused_by_name():
    y = np.tile([0, 1], 10)
    baseline = fit([group_of(rhythm(10, 1 + y, 20), ("O1", "O2"), np.repeat(["a", "b"], 10))], y, task())
    with pytest.raises(LabelError, match="O2"):
        baseline.predict(lambda _: [group_of(rhythm(10, 1.0, 2), ("O1", "CZ"))])


def test_a_saved_baseline_predicts_the_same(tmp_path):
    y = np.tile([0, 1, 1], 10)
    group = group_of(rhythm(10, 1 + y, 30), ("O1", "O2"), np.repeat(["a", "b", "c"], 10))
    four = task("multiclass", "cohen_kappa", ("a", "b", "never seen"))
    baseline = fit([group], y, four)
    baseline.save(tmp_path)
    again = baselines.load_all(tmp_path)[0]
    assert np.array_equal(again.predict(lambda _: [group]), baseline.predict(lambda _: [group]))
    assert (again.predict(lambda _: [group])[:, 2] == 0).all()
    assert again.card == baseline.card
    assert baselines.load_all(tmp_path / "elsewhere") == []


def test_one_training_subject_means_defaults_and_a_note():
    y = np.tile([0, 1], 10)
    baseline = fit([group_of(rhythm(10, 1 + y, 20), ("O1", "O2"))], y, task())
    assert "One training subject" in baseline.card.note
    single = fit([group_of(rhythm(10, 1.0, 20), ("O1", "O2"))], np.ones(20), task())
    assert (single.predict(lambda _: [group_of(rhythm(10, 1.0, 2), ("O1", "O2"))]) > 0.9).all()


def persons(windows, alpha, subjects=8, seed=0, gain=30.0):
    """Windows of subjects whose alpha differs far more between them than between the states of `alpha`."""
    own = np.random.default_rng(seed).uniform(1, gain, subjects)
    y = np.tile([0, 1], subjects * windows // 2)
    keys = np.repeat([f"s{seed}-{number}" for number in range(subjects)], windows)
    return rhythm(10, np.repeat(own, windows) * np.where(y, alpha, 1.0), len(y), seed=seed), y, keys


def test_features_are_standardised_within_subjects_where_subjects_differ_more_than_states():
    signals, y, keys = persons(12, alpha=0.6)
    baseline = fit([group_of(signals, ("O1", "O2"), keys)], y, task())
    assert baseline.card.within_subject
    assert "standardised within each subject on all of its windows together" in baseline.card.describe()
    others, answer, names = persons(12, alpha=0.6, seed=5)
    predicted = baseline.predict(lambda _: [group_of(others, ("O1", "O2"), names)])
    assert ((predicted > 0.5) == answer).mean() > 0.9


def test_standardising_takes_a_subjects_windows_from_every_group_and_ignores_the_others():
    table = np.array([[1.0, 5.0], [3.0, 5.0], [100.0, 0.0], [300.0, 2.0]])
    keys = np.array(["a", "a", "b", "b"], dtype=object)
    assert standardise_within(table, keys).tolist() == [[-1, 0], [1, 0], [-1, -1], [1, 1]]
    assert standardise_within(table[:1], keys[:1]).tolist() == [[0, 0]]


def flicker(frequency, windows, seed, channels=4):
    """A faint flicker with its second harmonic, in noise that all channels share and a strong slow drift."""
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 2 * np.pi, (windows, 1, 1))
    wave = sum(np.sin(order * (2 * np.pi * frequency * SECONDS + phase)) / order for order in (1, 2))
    drift = 50 * np.sin(2 * np.pi * 0.7 * SECONDS + random.uniform(0, 6, (windows, channels, 1)))
    noise = random.normal(size=drift.shape) + random.normal(scale=5, size=(windows, 1, 800))
    return (0.8 * wave * random.uniform(0.5, 1, (1, channels, 1)) + drift + noise).astype(np.float32)


def test_declared_frequencies_add_canonical_correlations_that_find_a_faint_flicker():
    rates = (13, 21, 17)
    y = np.tile([0, 1, 2], 20)
    keys = np.repeat(["a", "b"], 30)
    signals = np.concatenate([flicker(rates[label], 1, seed=row) for row, label in enumerate(y)])
    ssvep = task("multiclass", "cohen_kappa", ("13 Hz", "21 Hz", "17 Hz"), frequencies=(13, 17, 21))
    baseline = fit([group_of(signals, ("O1", "O2", "OZ", "POZ"), keys)], y, ssvep)
    assert baseline.card.features == "fbcca"
    assert baseline.card.describe().startswith("filter-bank canonical correlations with 13, 17, 21 Hz")
    new = np.concatenate([flicker(rates[label], 1, seed=900 + row) for row, label in enumerate(y)])
    predicted = baseline.predict(lambda _: [group_of(new, ("O1", "O2", "OZ", "POZ"), keys)])
    assert (predicted.argmax(axis=1) == y).mean() > 0.9


def test_a_baseline_of_version_0_1_is_read_as_not_standardised_and_not_aligned(tmp_path):
    y = np.tile([0, 1], 10)
    baseline = fit([group_of(rhythm(10, 1 + y, 20), ("O1", "O2"))], y, task())
    baseline.save(tmp_path)
    card = json.loads((tmp_path / "baseline.json").read_text())
    for key in ("within_subject", "frequencies", "alignment"):
        del card[key]
    (tmp_path / "baseline.json").write_text(json.dumps(card))
    assert baselines.load_all(tmp_path)[0].card == baseline.card
