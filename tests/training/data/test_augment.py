"""Augmentations keep the documented properties of a window, and depend on the generator only."""

import pytest
import torch

from labram.recipe import AugmentRecipe
from labram.training.data.augment import augment

X_BNAT = torch.randn(4, 3, 2, 200, generator=torch.Generator().manual_seed(0))
ALL = AugmentRecipe(shift=True, flip=True, gain_sd=0.2, noise=0.3)


def varied(**settings) -> torch.Tensor:
    return augment(X_BNAT, AugmentRecipe(**settings), torch.Generator().manual_seed(1))


def powers(x_BNAT: torch.Tensor) -> torch.Tensor:
    return torch.fft.rfft(x_BNAT.flatten(2)).abs()


def test_the_published_recipe_has_no_augmentation() -> None:
    assert torch.equal(varied(), X_BNAT)


@pytest.mark.parametrize("settings", [{"shift": True}, {"flip": True}, {"shift": True, "flip": True}])
def test_shift_and_flip_keep_the_power_at_every_frequency(settings) -> None:
    assert not torch.equal(varied(**settings), X_BNAT)
    torch.testing.assert_close(powers(varied(**settings)), powers(X_BNAT), atol=1e-3, rtol=1e-4)


def test_a_flip_reverses_whole_windows() -> None:
    ratio = (varied(flip=True) / X_BNAT).flatten(1)
    assert torch.equal(ratio.amax(1), ratio.amin(1))
    assert set(ratio[:, 0].tolist()) == {-1.0, 1.0}


def test_gains_are_one_factor_a_channel() -> None:
    ratio = (varied(gain_sd=0.2) / X_BNAT).flatten(2)
    torch.testing.assert_close(ratio.amax(2), ratio.amin(2))
    assert (ratio > 0).all()


def test_noise_has_the_requested_relative_amplitude() -> None:
    added = (varied(noise=0.3) - X_BNAT).flatten(2).std(dim=2) / X_BNAT.flatten(2).std(dim=2)
    torch.testing.assert_close(added, torch.full_like(added, 0.3), atol=0.05, rtol=0.0)


def test_equal_generators_give_equal_augmentations() -> None:
    one, other = (augment(X_BNAT, ALL, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one, other)


def test_band_noise_fills_one_band_of_each_window() -> None:
    added = (varied(band_noise=2.0) - X_BNAT).flatten(2)
    spread = X_BNAT.flatten(2).std(dim=2)
    torch.testing.assert_close(added.std(dim=2), 2.0 * spread, rtol=1e-3, atol=0.0)
    power = torch.fft.rfft(added).abs().square()
    hz = torch.fft.rfftfreq(400, 1 / 200)
    bands = [hz[(window > 1e-6 * window.max()).any(0)] for window in power]
    assert all(0 < band.max() - band.min() <= 4.0 and band.min() >= 1.0 and band.max() < 49.0 for band in bands)
    assert len({float(band.min()) for band in bands}) > 1


def test_dropped_channels_are_zero_and_never_all_of_a_window() -> None:
    found = augment(torch.ones(200, 3, 1, 200), AugmentRecipe(channel_dropout=0.6), torch.Generator().manual_seed(0))
    kept = found[:, :, 0].mean(dim=-1)
    assert set(found.unique().tolist()) == {0.0, 1.0}
    assert (kept.sum(dim=1) > 0).all()
    assert float(kept.mean()) == pytest.approx(0.4 + 0.6**3, abs=0.05)  # windows that would lose all keep all
