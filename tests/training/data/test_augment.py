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
