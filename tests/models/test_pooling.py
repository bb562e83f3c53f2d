"""Heads read what their names say, in models that are stored and loaded, and in no checkpoint layout of others."""

import numpy as np
import pytest
import torch

from labram.errors import MisfitWeightsError
from labram.models import weights
from labram.models.config import BackboneConfig
from labram.models.downstream import DownstreamModel
from labram.models.official import export_checkpoint
from labram.models.pooling import PROJECTIONS, SHRINKAGE, AttentionPool, ChannelPool, CovariancePool, MatrixLogarithm

SMALL = BackboneConfig(width=100, conv_channels=4, heads=5, depth=1, codes=16)
ROWS = torch.tensor([9, 4])


def patches(width=6, seconds=30):
    """Two channels in each of two windows, channel-major."""
    return torch.randn(2, 2 * seconds, width, generator=torch.Generator().manual_seed(0))


def test_channels_keep_the_mean_of_each_electrode_at_its_place():
    pooled = ChannelPool(6)(patches(), ROWS).unflatten(1, (-1, 6))
    torch.testing.assert_close(pooled[:, 9], patches()[:, :30].mean(1))
    torch.testing.assert_close(pooled[:, 4], patches()[:, 30:].mean(1))
    assert pooled.count_nonzero() == 2 * 2 * 6


def test_attention_is_a_mean_at_first_and_learns_where_to_look():
    pool = AttentionPool(6)
    torch.testing.assert_close(pool(patches(), ROWS), patches().mean(1))
    with torch.no_grad():
        pool.query[0] = 1e4
    strongest = patches()[..., 0].argmax(1)
    torch.testing.assert_close(pool(patches(), ROWS), patches()[torch.arange(2), strongest])


def test_covariance_is_the_logarithm_of_what_numpy_finds():
    pool = CovariancePool(6)
    found = pool(patches(), ROWS)
    projected = (patches() @ pool.projection.weight.T)[0].detach().double().numpy()
    expected = np.cov(projected.T, bias=True)
    expected = (1 - SHRINKAGE) * expected + (SHRINKAGE * np.trace(expected) / PROJECTIONS + 1e-5) * np.eye(PROJECTIONS)
    values, vectors = np.linalg.eigh(expected)
    logarithm = (vectors * np.log(values)) @ vectors.T
    rows, columns = np.triu_indices(PROJECTIONS)
    np.testing.assert_allclose(found[0, :6].detach(), patches()[0].mean(0), atol=1e-6)
    scaled = logarithm[rows, columns] * np.where(rows == columns, 1, np.sqrt(2))
    np.testing.assert_allclose(found[0, 6:].detach(), scaled, atol=2e-3)


def test_the_gradient_of_the_logarithm_is_exact_and_finite_for_equal_eigenvalues():
    random = torch.randn(2, 4, 4, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    matrices = (random @ random.mT + torch.eye(4)).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: MatrixLogarithm.apply((m + m.mT) / 2), matrices)
    equal = (2 * torch.eye(4))[None].requires_grad_()
    MatrixLogarithm.apply(equal).sum().backward()
    torch.testing.assert_close(equal.grad, torch.full((1, 4, 4), 0.5))


@pytest.mark.parametrize("pooling", ["channels", "attention", "covariance"])
def test_a_head_is_stored_and_not_exported(tmp_path, pooling):
    torch.manual_seed(0)
    model = DownstreamModel(SMALL, 3, pooling=pooling).eval()
    weights.save(model, tmp_path / "model")
    again = weights.load(tmp_path / "model")
    x = torch.randn(2, 2, 3, 200)
    torch.testing.assert_close(again(x, ROWS), model(x, ROWS), atol=0, rtol=0)
    deepest = SMALL.depth + 1
    ids = model.layer_ids()
    assert all(ids[name] == deepest for name in ids if not name.startswith("encoder."))
    with pytest.raises(MisfitWeightsError, match=f"a pooling that no checkpoint layout has: {pooling}"):
        export_checkpoint(tmp_path / "model", tmp_path / "out.pth")
