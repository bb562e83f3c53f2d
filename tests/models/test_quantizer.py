"""The codebook: nearest unit vector, moved by averages, never in evaluation."""

import pytest
import torch
from torch.nn import functional

from labram.models import quantizer as module
from labram.models.quantizer import Quantizer


@pytest.fixture
def features():
    return torch.randn(4, 30, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def quantizer():
    torch.manual_seed(0)
    return Quantizer(12, 8, decay=0.9, compatibility="corrected")


def test_nearest_is_the_brute_force_minimum_in_chunks_of_any_size(quantizer, features, monkeypatch):
    unit = functional.normalize(features, dim=-1)
    expected = torch.cdist(unit, quantizer.codebook).argmin(-1)
    assert torch.equal(quantizer.nearest(unit), expected)
    monkeypatch.setattr(module, "SCORES_PER_CHUNK", 50)
    assert torch.equal(quantizer.nearest(unit), expected)


def test_gradient_passes_straight_through(quantizer, features):
    quantizer.eval()
    features.requires_grad_()
    weights = torch.randn(4, 30, 8)
    (quantizer(features).vectors * weights).sum().backward()
    through = features.grad.clone()
    features.grad = None
    (functional.normalize(features, dim=-1) * weights).sum().backward()
    torch.testing.assert_close(through, features.grad)


def test_first_training_batch_sets_the_codebook_by_kmeans(quantizer, features):
    before = quantizer.codebook.clone()
    quantizer.train()(features)
    assert quantizer.initialised.item() == 1
    assert not torch.allclose(before, quantizer.codebook)
    again = quantizer.codebook.clone()
    quantizer(features)
    assert (quantizer.codebook - again).abs().max() < 0.2


def test_codes_never_hit_stay(quantizer, features):
    quantizer.train()(features)
    one = features[:1, :1]
    before, code = quantizer.codebook.clone(), quantizer(one).codes.item()
    moved = (quantizer.codebook - before).abs().sum(-1) > 1e-6
    assert not moved[torch.arange(12) != code].any()


def test_evaluation_changes_nothing(quantizer, features):
    before = {name: tensor.clone() for name, tensor in quantizer.state_dict().items()}
    quantizer.eval()(features)
    assert all(torch.equal(before[name], tensor) for name, tensor in quantizer.state_dict().items())


def test_usage_counts_codes_of_training(quantizer, features):
    quantizer.train()
    codes = quantizer(features).codes
    torch.testing.assert_close(quantizer.usage, 0.1 * torch.bincount(codes.flatten(), minlength=12).float())


def test_codebook_is_float32_under_autocast(quantizer, features):
    expected = quantizer.eval()(features)
    with torch.autocast("cpu", torch.bfloat16):
        found = quantizer(features)
    assert found.vectors.dtype == torch.float32
    assert torch.equal(found.codes, expected.codes)
