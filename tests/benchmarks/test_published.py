"""The peer of the speed benchmark computes what our models compute, or its ratio would mean nothing."""

import copy

import pytest
import torch

from benchmarks import published
from labram.input_spec import PATCH_SAMPLES
from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel, random_mask
from labram.models.tokenizer import Tokenizer

ROWS = torch.arange(1, 4)


@pytest.fixture
def windows() -> torch.Tensor:
    return 0.3 * torch.randn(2, 3, 2, PATCH_SAMPLES, generator=torch.Generator().manual_seed(0))


def _peers(model: torch.nn.Module) -> tuple[torch.nn.Module, torch.nn.Module]:
    return model, published.as_published(copy.deepcopy(model))


def test_masked_loss_and_gradients(windows: torch.Tensor) -> None:
    ours, theirs = _peers(MaskedModel(BackboneConfig(depth=2, codes=32)))
    mask = random_mask(2, 6, 0.5, torch.Generator().manual_seed(0))
    codes = torch.randint(0, 32, (2, 6))
    ours.loss(windows, ROWS, mask, codes).loss.backward()
    published.masked_loss(theirs, windows, ROWS, mask, codes).backward()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_tokenizer_step_and_codes(windows: torch.Tensor) -> None:
    torch.manual_seed(0)
    config = TokenizerConfig(codes=16, depth=2, decoder_depth=1)
    tokenizer = Tokenizer(config)
    tokenizer(windows, ROWS)
    ours, theirs = _peers(tokenizer)
    first, second = ours(windows, ROWS), theirs(windows, ROWS)
    torch.testing.assert_close(first.loss, second.loss)
    assert torch.equal(first.codes, second.codes)
    torch.testing.assert_close(ours.quantizer.codebook, theirs.quantizer.codebook)
    assert torch.equal(ours.encode(windows, ROWS), published.encode(theirs, windows, ROWS))


def test_downstream_logits(windows: torch.Tensor) -> None:
    ours, theirs = _peers(DownstreamModel(BackboneConfig(depth=2, codes=32), 3).eval())
    torch.testing.assert_close(ours(windows, ROWS), theirs(windows, ROWS))
