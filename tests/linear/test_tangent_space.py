"""Covariances in bands hold what was put in, and recentred tangent vectors do not depend on a subject's montage."""

import numpy as np
import pytest

from labram.evaluation.baselines import fit_all, load_all
from labram.linear.features import WindowGroup, measure
from labram.linear.tangent_space import band_covariances, recentred_features, tangent_features
from labram.metrics import score
from labram.recipe import TaskRecipe

TIMES = np.arange(800) / 200


def noise(windows, channels=3, seed=0):
    return np.random.default_rng(seed).normal(scale=5, size=(windows, channels, 800)).astype(np.float32)


def test_a_rhythm_is_in_the_covariance_of_its_band_with_its_power_and_sign():
    wave = 20 * np.sin(2 * np.pi * 10 * TIMES)
    signals = np.stack([wave, -wave, np.zeros_like(wave)])[None].astype(np.float32)
    alpha, beta = band_covariances(signals, [(8.0, 13.0), (13.0, 30.0)])[0]
    assert alpha[0, 0] == pytest.approx(200, rel=0.02)
    assert alpha[0, 1] == pytest.approx(-200, rel=0.02)
    assert abs(beta[0, 1]) < 0.5
    assert np.isfinite(tangent_features(band_covariances(signals, [(8.0, 13.0)]))).all()


def test_white_noise_has_equal_density_in_all_bands():
    low, high = band_covariances(noise(400), [(1.0, 11.0), (11.0, 41.0)]).mean(axis=0)
    np.testing.assert_allclose(np.diag(high) / np.diag(low), 3, rtol=0.05)
    np.testing.assert_allclose(np.diag(low), 25 * 10 / 100, rtol=0.05)


def test_the_mean_of_recentred_vectors_is_zero_for_each_subject_whatever_mixes_its_channels():
    subjects = np.repeat(np.array(["a", "b"], object), 20)
    signals = noise(40)
    mixing = np.array([[2.0, 0.3, 0.0], [0.1, 0.5, 0.2], [0.0, 0.4, 3.0]], np.float32)
    signals[20:] = mixing @ signals[:20]
    features = recentred_features(band_covariances(signals, [(1.0, 45.0)]), subjects)
    assert features.shape == (40, 6)
    np.testing.assert_allclose(features[:20].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(features[20:].mean(axis=0), 0, atol=1e-4)
    lengths = np.linalg.norm(features, axis=1)
    np.testing.assert_allclose(lengths[20:], lengths[:20], rtol=0.25)
    plain = tangent_features(band_covariances(signals, [(1.0, 45.0)]))
    assert abs(plain[20:].mean() - plain[:20].mean()) > 0.2


def study(seed, subjects=6, windows=12):
    """Each subject mixes the channels differently; class 1 has two sources that are coupled, at equal power."""
    draw = np.random.default_rng(seed)
    signals, y, keys = [], [], []
    for subject in range(subjects):
        mixing = np.eye(3) + 0.5 * draw.normal(size=(3, 3))
        for window in range(windows):
            sources = draw.normal(scale=10, size=(3, 800))
            if window % 2:
                sources[1] = 0.8 * sources[0] + 0.6 * sources[1]
            signals.append(mixing @ sources)
            y.append(window % 2)
            keys.append(f"s{subject}")
    return WindowGroup([np.array(signals, np.float32)], ("C3", "CZ", "C4"), keys), np.array(y, float)


def test_recentred_tangent_vectors_find_coupling_in_new_subjects_and_are_read_back_as_written(tmp_path):
    task = TaskRecipe(
        name="t", title="T", dataset="d", kind="binary", metric="auroc", classes=("apart", "coupled"),
        baselines=("spectral", "riemann", "riemann-bands"),
    )  # fmt: skip
    group, y = study(0)
    fitted = fit_all(lambda _: [group], y, task, group.channels)
    assert [baseline.name for baseline in fitted] == ["spectral", "riemann", "riemann-bands"]
    assert "recentred within each subject" in fitted[1].card.describe()
    unseen, labels = study(1)
    assert score("auroc", "binary", labels, fitted[1].predict(lambda _: [unseen])) > 0.9
    for baseline in fitted:
        baseline.save(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.json")) == [
        "baseline-riemann-bands.json",
        "baseline-riemann.json",
        "baseline.json",
    ]
    for written, read in zip(fitted, load_all(tmp_path), strict=True):
        np.testing.assert_array_equal(read.predict(lambda _: [unseen]), written.predict(lambda _: [unseen]))


def test_bands_around_stimulation_frequencies_are_added():
    group, _ = study(0, subjects=1)
    plain = measure([group], group.channels, ("tangent-bands",)).tables["tangent-bands"]
    around = measure([group], group.channels, ("tangent-bands",), frequencies=(13.0, 17.0)).tables["tangent-bands"]
    assert (plain.shape[1], around.shape[1]) == (5 * 6, 7 * 6)


def test_a_baseline_that_learns_nothing_predicts_the_mean_of_its_targets():
    """Its out-of-fold outputs are worse than the mean, so calibration leaves nothing of them."""
    group, _ = study(0)
    y = np.random.default_rng(5).normal(3.0, 1.0, size=(72, 1))
    task = TaskRecipe(
        name="t", title="T", dataset="d", kind="regression", metric="r2", classes=("x",), baselines=("spectral",)
    )
    (fitted,) = fit_all(lambda _: [group], y, task, group.channels)
    unseen, _ = study(1)
    predicted = fitted.predict(lambda _: [unseen])
    assert abs(predicted.mean() - y.mean()) < 0.2
    assert predicted.std() < 0.3
