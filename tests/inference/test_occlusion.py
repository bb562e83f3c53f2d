"""Occlusion finds planted causes, and finds nothing where there is nothing."""

import numpy as np
import pytest

from labram.inference.occlusion import SMALLEST_SAMPLE, Occlusion, explain, occlude, occlusions
from labram.linear.features import BANDS, log_powers, power_density

CHANNELS = ("FP1", "FP2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2")


def windows(n=32, *, electrode="O1", hz=10.0, seed=0):
    """Noise of 10 µV; in every second window, one electrode has a rhythm."""
    random = np.random.default_rng(seed)
    x = random.normal(scale=10, size=(n, len(CHANNELS), 800))
    wave = 25 * np.sin(2 * np.pi * (hz * np.arange(800) / 200 + random.random((n, 1))))
    x[:, CHANNELS.index(electrode)] += wave * (np.arange(n) % 2)[:, None]
    return x.astype(np.float32)


def powers(x):
    """An embedding: log band powers of each channel [n, C * bands]."""
    return log_powers(power_density(x), "bands").reshape(len(x), -1).astype(np.float32)


def of(electrode, band):
    """Score that reads the power of one band at one electrode."""
    column = CHANNELS.index(electrode) * len(BANDS) + list(BANDS).index(band)
    return lambda x: powers(x)[:, column].astype(np.float64)


def noise(x):
    """Score of a model of random weights: a mixture of all powers."""
    return powers(x).astype(np.float64) @ np.random.default_rng(3).normal(size=len(CHANNELS) * len(BANDS))


def fitted(x, y):
    """Score of a ridge probe of the powers, which was fitted to other windows."""
    table = powers(x).astype(np.float64)
    mean, scale = table.mean(axis=0), table.std(axis=0)
    z = (table - mean) / scale
    weights = z.T @ np.linalg.solve(z @ z.T + 0.1 * len(z) * np.eye(len(z)), y - y.mean())
    return lambda other: (powers(other) - mean) / scale @ weights


def clear(explanation):
    return {(effect.occlusion.kind, effect.occlusion.name) for effect in explanation.effects if effect.clear}


@pytest.mark.parametrize(("electrode", "band", "hz"), [("O1", "alpha", 10.0), ("C4", "beta", 20.0)])
def test_the_planted_electrode_and_its_band_are_found(electrode, band, hz):
    x = windows(electrode=electrode, hz=hz)
    learnt = fitted(windows(96, electrode=electrode, hz=hz, seed=1), np.arange(96) % 2)
    found = explain(x, CHANNELS, learnt, random=noise, embed=powers)
    assert ("electrode", electrode) in clear(found)
    assert ("electrode band", f"{electrode} {band}") in clear(found)
    assert {name for kind, name in clear(found) if kind != "band"} == {electrode, f"{electrode} {band}"}
    shares = {effect.occlusion.name: effect.share for effect in found.effects}
    assert shares[electrode] > 0.6
    assert shares[f"{electrode} {band}"] > 0.6
    assert max(shares[other] for other in BANDS if other != band) < shares[band]


def test_a_model_that_learnt_from_noise_is_not_explained():
    nothing = np.random.default_rng(4).permutation(np.arange(96) % 2)
    learnt = fitted(noise_windows(96, 1), nothing)
    found = explain(noise_windows(32, 2), CHANNELS, learnt, random=noise, embed=powers)
    assert clear(found) == set()
    assert not found.found


def noise_windows(n, seed):
    return np.random.default_rng(seed).normal(scale=10, size=(n, len(CHANNELS), 800)).astype(np.float32)


def test_random_weights_are_recognised():
    found = explain(windows(), CHANNELS, noise, random=noise, embed=powers)
    assert found.random_weights == pytest.approx(1)
    assert explain(windows(), CHANNELS, of("O1", "alpha"), random=noise, embed=powers).random_weights < 0.6


def test_few_windows_have_effects_but_none_is_called_clear():
    found = explain(windows(SMALLEST_SAMPLE - 1), CHANNELS, of("O1", "alpha"), random=noise, embed=powers)
    assert max(found.effects, key=lambda effect: effect.mean).occlusion in {("electrode", "O1"), ("band", "alpha")}
    assert (found.found, found.permuted) == (False, None)


def test_what_is_hidden_is_gone_and_the_rest_is_as_it_was():
    x = windows()
    band = occlude(x, CHANNELS, Occlusion("band", "alpha"))
    hz = np.fft.rfftfreq(800, 1 / 200)
    before, after = np.abs(np.fft.rfft(x)), np.abs(np.fft.rfft(band))
    inside = (hz >= 8) & (hz < 13)
    assert after[..., inside].max() < 1e-2
    assert after[..., ~inside] == pytest.approx(before[..., ~inside], abs=1e-2)
    cell = occlude(x, CHANNELS, Occlusion("electrode band", "O1 alpha"))
    assert cell[:, 8] == pytest.approx(band[:, 8], abs=1e-4)
    assert np.array_equal(np.delete(cell, 8, axis=1), np.delete(x, 8, axis=1))
    second = occlude(x, CHANNELS, Occlusion("second", "2"))
    assert not second[..., 400:600].any()
    assert np.array_equal(second[..., :400], x[..., :400])
    electrode = occlude(x, CHANNELS, Occlusion("electrode", "O1"))
    others = [index for index, name in enumerate(CHANNELS) if name != "O1"]
    assert np.array_equal(electrode[:, others], x[:, others])
    assert np.abs(np.corrcoef(electrode[:, 8].ravel(), x[:, 8].ravel())[0, 1]) < 0.3, "noise of its own cannot be kept"
    assert x.tolist() == windows().tolist(), "the windows themselves stay as they are"


def test_a_single_electrode_or_second_cannot_be_hidden():
    assert {occlusion.kind for occlusion in occlusions(["CZ"], 1)} == {"band"}
