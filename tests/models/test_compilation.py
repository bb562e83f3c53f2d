"""Whole steps compile into one graph and compute the same."""

import copy
import shutil

import pytest
import torch

from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel, random_mask
from labram.models.tokenizer import Tokenizer


def _compiled(function, backend):
    torch.compiler.reset()
    return torch.compile(function, fullgraph=True, backend=backend)


def test_the_tokenizers_training_step_is_one_graph(tiny_tokenizer_config, window, rows):
    eager = Tokenizer(tiny_tokenizer_config).train()
    eager(window, rows)
    other = copy.deepcopy(eager)
    expected, found = eager(window, rows), _compiled(other, "aot_eager")(window, rows)
    torch.testing.assert_close(found.loss, expected.loss)
    torch.testing.assert_close(other.quantizer.codebook, eager.quantizer.codebook)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_masked_step_is_one_graph(tiny_config, window, rows, precision):
    model = MaskedModel(tiny_config)
    mask, codes = random_mask(2, 6, 0.5), torch.arange(12).view(2, 6)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        expected = model.loss(window, rows, mask, codes)
        found = _compiled(model.loss, "aot_eager")(window, rows, mask, codes)
    torch.testing.assert_close(found.loss, expected.loss)
    gradients = [torch.autograd.grad(output.loss, list(model.parameters())) for output in (expected, found)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(other, one)


def test_the_fine_tuning_step_is_one_graph(tiny_config, window, rows):
    model = DownstreamModel(tiny_config, 2).train()
    gradients = [
        torch.autograd.grad(run(window, rows).square().sum(), list(model.parameters()))
        for run in (model, _compiled(model, "aot_eager"))
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(other, one)


@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch compiles for the CPU with g++")
def test_generated_code_gives_the_same_features(tiny_config, window, rows):
    model = DownstreamModel(tiny_config, 2).eval()
    with torch.no_grad():
        found = _compiled(model.features, "inductor")(window, rows)
        torch.testing.assert_close(found, model.features(window, rows), atol=1e-5, rtol=0)
