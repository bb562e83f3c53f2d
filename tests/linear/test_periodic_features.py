"""Canonical correlations find a frequency at any phase and mixing, and are 1 for a pure sine."""

import numpy as np
import pytest

from labram.linear.periodic_features import LOWER_EDGES_HZ, canonical_correlations

SECONDS = np.arange(800) / 200
FREQUENCIES = (13.0, 17.0, 21.0)


def noise(seed=0, windows=4, channels=4):
    return np.random.default_rng(seed).normal(size=(windows, channels, 800)).astype(np.float32)


def correlations(signals):
    return canonical_correlations(signals, FREQUENCIES).reshape(len(signals), len(LOWER_EDGES_HZ), 3)


def test_a_sine_correlates_fully_with_its_own_frequency():
    phase = np.random.default_rng(1).uniform(0, 6, (4, 1, 1))
    found = correlations((10 * np.sin(2 * np.pi * 17 * SECONDS + phase) + 0.01 * noise()).astype(np.float32))
    assert found[:, 0, 1] == pytest.approx(np.ones(4), abs=0.01)
    assert (found[:, 0, [0, 2]] < 0.4).all()


def test_harmonics_count_in_the_bands_without_the_first():
    found = correlations((np.sin(2 * np.pi * 39 * SECONDS) + 0.2 * noise()).astype(np.float32))
    assert (found[..., 0] > 0.8).all()
    assert (found.argmax(axis=2) == 0).all()


def test_mixing_gain_and_slow_drift_change_nothing():
    signals = noise(seed=3) + 0.5 * np.sin(2 * np.pi * 21 * SECONDS, dtype=np.float32)
    mixing = 30 * np.random.default_rng(4).normal(size=(4, 4))
    drift = 100 * np.sin(2 * np.pi * 0.5 * SECONDS)
    assert correlations((mixing @ signals).astype(np.float32)) == pytest.approx(correlations(signals), abs=1e-3)
    assert correlations((signals + drift).astype(np.float32)) == pytest.approx(correlations(signals), abs=0.05)


def test_montages_without_full_rank_and_flat_windows_have_finite_features():
    signals = noise(seed=5)
    signals[0] -= signals[0].mean(axis=0)
    signals[1] = 0
    signals[2, 1] = signals[2, 0]
    found = correlations(signals)
    assert np.isfinite(found).all()
    assert (found[1] == 0).all()
    assert found.max() <= 1
