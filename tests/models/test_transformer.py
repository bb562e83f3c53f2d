"""The block's parts, where they do not do what their names in PyTorch do."""

import torch
from torch.nn import functional

from labram.models.transformer import HeadNorm

ROWS, WIDTH = 20_000, 20


def test_gradients_of_a_head_norm_are_summed_in_float32_whatever_comes_in() -> None:
    torch.manual_seed(0)
    x, gradient = torch.randn(ROWS, WIDTH).bfloat16(), (torch.randn(ROWS, WIDTH) + 0.5).bfloat16()
    norm = HeadNorm(WIDTH)
    y = norm(x)
    assert y.dtype == torch.bfloat16
    y.backward(gradient)
    weight, bias = torch.ones(WIDTH, requires_grad=True), torch.zeros(WIDTH, requires_grad=True)
    functional.layer_norm(x.float(), (WIDTH,), weight, bias, norm.eps).backward(gradient.float())
    torch.testing.assert_close(norm.bias.grad, bias.grad)
    torch.testing.assert_close(norm.weight.grad, weight.grad)
