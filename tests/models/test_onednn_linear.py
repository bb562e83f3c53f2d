"""Linear layers by oneDNN equal PyTorch's in value, gradient and shape."""

import pytest
import torch
from torch.nn import functional

import labram.models.onednn_linear as module
from labram.models.onednn_linear import OnednnLinear, onednn_linear

SHAPES = [((2000, 64), 96), ((2000, 96), 64), ((8, 250, 64), 96), ((3, 5), 7), ((0, 64), 96)]
ROUNDING = 1e-6
"""Of the largest number: ten times the spacing of float32."""


@pytest.mark.parametrize(("shape", "outputs"), SHAPES)
@pytest.mark.parametrize("biased", [True, False])
def test_values_and_gradients_are_those_of_pytorch(shape, outputs, biased):
    torch.manual_seed(0)
    x = torch.randn(shape, requires_grad=True)
    weight = torch.randn(outputs, shape[-1], requires_grad=True)
    given = (x, weight, torch.randn(outputs, requires_grad=True)) if biased else (x, weight)
    exact = [tensor.detach().double().requires_grad_() for tensor in given]
    found, expected = onednn_linear(*given, *(() if biased else (None,))), functional.linear(*exact)
    _assert_close(found, expected)
    gradient = torch.randn_like(found)
    for ours, theirs in zip(
        torch.autograd.grad(found, given, gradient),
        torch.autograd.grad(expected, exact, gradient.double()),
        strict=True,
    ):
        _assert_close(ours, theirs)


def test_only_large_float32_matmuls_use_onednn(monkeypatch):
    if not module.ONEDNN_AVAILABLE:
        pytest.skip("this PyTorch was built without oneDNN")
    taken = []
    monkeypatch.setattr(module, "_matmul", lambda a, b, bias: taken.append(len(a)) or functional.linear(a, b, bias))
    layer = OnednnLinear(128, 128)
    for rows in (8, 1024):
        layer(torch.randn(rows, 128))
    assert taken == [1024]
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(1024, 128))
    layer.double()(torch.randn(1024, 128, dtype=torch.float64))
    assert taken == [1024]


def test_a_scaled_layer_scales_its_output():
    torch.manual_seed(0)
    layer, x, gamma = OnednnLinear(64, 32), torch.randn(10, 64), torch.rand(32)
    torch.testing.assert_close(layer(x, gamma), gamma * layer(x))


def test_it_compiles_without_a_graph_break():
    torch.manual_seed(0)
    x, layer = torch.randn(2000, 64), OnednnLinear(64, 96)
    compiled = torch.compile(lambda given: layer(given).square().sum(), fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x).square().sum())


def _assert_close(ours, exact):
    assert ours.shape == exact.shape
    if ours.numel():
        assert (ours - exact).abs().max() <= 10 * ROUNDING * exact.abs().max().clamp_min(1.0)
