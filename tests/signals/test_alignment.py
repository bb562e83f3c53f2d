"""Alignment undoes what differs between subjects and is no part of the signal: their mixing and their amplitude."""

import numpy as np
import pytest

from labram.errors import WindowError
from labram.recipe import AlignmentRecipe
from labram.signals.alignment import SD_UV, align_request, describe, fit

EUCLIDEAN = AlignmentRecipe(kind="euclidean", shrinkage=0.0)
ZSCORE = AlignmentRecipe(kind="zscore")


def noise(windows=30, channels=4, samples=800, seed=0):
    return np.random.default_rng(seed).normal(size=(windows, channels, samples)).astype(np.float32)


def mixed(signals, seed):
    mixing = np.random.default_rng(seed).normal(size=(signals.shape[1], signals.shape[1]))
    return np.matmul(20 * mixing, signals).astype(np.float32)


def covariance(signals):
    return np.einsum("ncs,nds->cd", signals, signals) / (len(signals) * signals.shape[-1])


def test_aligned_channels_are_uncorrelated_at_ten_microvolts():
    signals = mixed(noise(), seed=1)
    aligned = fit([signals], EUCLIDEAN).apply(signals)
    assert covariance(aligned) == pytest.approx(SD_UV**2 * np.eye(4), abs=0.5)
    assert aligned.dtype == np.float32


def test_the_map_is_the_inverse_square_root_of_the_covariance():
    signals = mixed(noise(), seed=2)
    centred = signals - signals.mean(axis=-1, keepdims=True)
    matrix = fit([signals], EUCLIDEAN).matrix / SD_UV
    assert matrix == pytest.approx(matrix.T, abs=1e-5)
    assert matrix @ covariance(centred) @ matrix == pytest.approx(np.eye(4), abs=1e-3)


def test_a_gain_of_the_amplifier_leaves_no_trace():
    signals = mixed(noise(), seed=3)
    for settings in (EUCLIDEAN, ZSCORE):
        louder = fit([7 * signals], settings).apply(7 * signals)
        assert louder == pytest.approx(fit([signals], settings).apply(signals), abs=0.05)


def test_z_scores_scale_each_channel_alone_and_leave_a_flat_one():
    signals = noise() * np.array([1.0, 10.0, 0.0, 300.0], np.float32)[:, None]
    alignment = fit([signals], ZSCORE)
    assert alignment.matrix == pytest.approx(np.diag([10.0, 1.0, 1.0, 1 / 30]), rel=0.02)
    assert covariance(alignment.apply(signals))[2, 2] == 0


def test_the_parts_do_not_matter():
    signals = mixed(noise(), seed=4)
    whole, parts = fit([signals], EUCLIDEAN), fit([signals[:7], signals[7:]], EUCLIDEAN)
    assert parts.matrix == pytest.approx(whole.matrix, rel=1e-4, abs=1e-6)
    assert parts.seconds == whole.seconds == 120


def test_shrinkage_bounds_the_noise_of_a_montage_without_full_rank():
    signals = 20 * noise()
    signals -= signals.mean(axis=1, keepdims=True)  # average reference
    aligned = fit([signals], AlignmentRecipe(kind="euclidean")).apply(signals + 0.01 * noise(seed=9))
    assert np.isfinite(aligned).all()
    assert 5 < aligned.std() < 15
    assert np.linalg.norm(fit([signals], AlignmentRecipe(kind="euclidean")).matrix, 2) < 10


def test_signals_without_variance_are_left_as_they_are():
    still = np.zeros((30, 4, 800), np.float32)
    for settings in (EUCLIDEAN, ZSCORE, AlignmentRecipe()):
        assert fit([still], settings).matrix == pytest.approx(np.eye(4))


def test_fewer_seconds_than_channels_align_the_amplitude_only():
    signals = 50 * noise(windows=1, channels=8)
    alignment = fit([signals], EUCLIDEAN)
    assert not alignment.complete
    assert alignment.apply(signals).std() == pytest.approx(SD_UV, rel=0.01)
    assert alignment.matrix == pytest.approx(alignment.matrix[0, 0] * np.eye(8))


def test_a_request_with_too_few_seconds_is_an_error_with_the_seconds_it_needs():
    names = [f"E{index}" for index in range(8)]
    short = noise(windows=1, channels=8)
    with pytest.raises(WindowError, match="8 channels need 8 s, got 4 s"):
        align_request(short, names, EUCLIDEAN)
    assert align_request(short, names, AlignmentRecipe()) is short
    assert align_request(noise(windows=2, channels=8), names, EUCLIDEAN).std() == pytest.approx(SD_UV, rel=0.01)


def test_a_line_for_reports_names_kind_source_and_seconds():
    assert describe(AlignmentRecipe()) == "none"
    line = describe(EUCLIDEAN, [fit([noise()], EUCLIDEAN), fit([noise(windows=60)], EUCLIDEAN)])
    assert line.startswith("Euclidean alignment, by subject and montage")
    assert "without their labels (120 to 240 s each)" in line
