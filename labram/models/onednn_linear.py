"""Matrix products in float32 on a CPU, by oneDNN rather than by the BLAS that PyTorch was built with.

PyTorch gives float32 products to MKL, which on an AMD EPYC reaches half of what oneDNN does, which comes with PyTorch
too: 170 to 190 GFLOP/s against 280 to 400 on two cores (benchmarks/model.md). Other processors were not tried.
Every other device and precision keeps PyTorch's own way. The numbers are float32 throughout; only the order of a sum
differs. Shape letters: N counts rows, I and O are the widths in and out.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

ONEDNN = torch.backends.mkldnn.is_available()
WORTHWHILE = 2**23
"""Multiplications from which on the faster product makes up for the longer way to it, about 0.1 ms."""


class Linear(nn.Linear):
    """PyTorch's linear layer by the faster product, with an output that may be scaled (layer scale)."""

    def forward(self, x: Tensor, gamma_O: Tensor | None = None) -> Tensor:
        """[..., I] to [..., O]; scales W and b rather than the tokens, which are many more."""
        if gamma_O is None:
            return linear(x, self.weight, self.bias)
        return linear(x, gamma_O.unsqueeze(1) * self.weight, gamma_O * self.bias)


def linear(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    """W x + b for every vector: [..., I] to [..., O]."""
    if _by_onednn(x, weight_OI) and not torch.is_autocast_enabled("cpu"):
        y: Tensor = _Linear.apply(x, weight_OI, bias_O)
        return y
    return functional.linear(x, weight_OI, bias_O)


def product(a_NI: Tensor, b_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """The dot products of all rows of `a` with all rows of `b`, plus the bias: [N, O]; has no derivative."""
    return _product(a_NI, b_OI, bias_O) if _by_onednn(a_NI, b_OI) else functional.linear(a_NI, b_OI, bias_O)


def _outer_product(a_NO: Tensor, b_NI: Tensor) -> Tensor:
    """The sum over all rows of the outer product of both: [O, I]; fastest with the narrower one first."""
    if a_NO.shape[1] > b_NI.shape[1]:
        return product(b_NI.T, a_NO.T).T
    return product(a_NO.T, b_NI.T)


@torch.library.custom_op("labram::product", mutates_args=())
def _product(a: Tensor, b_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(a, b_OI, bias_O, "none", [], "")  # type: ignore[no-any-return]


@_product.register_fake
def _(a: Tensor, b_OI: Tensor, _: Tensor | None) -> Tensor:
    return a.new_empty(*a.shape[:-1], len(b_OI))


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight_OI)
        ctx.biased = bias_O is not None
        return product(x, weight_OI, bias_O)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_OI = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        g_NO = gradient.flatten(0, -2)
        return (
            product(gradient, weight_OI.T) if to_x else None,
            _outer_product(g_NO, x.flatten(0, -2)) if to_weight else None,
            g_NO.sum(0) if ctx.biased and to_bias else None,
        )


def _by_onednn(x: Tensor, weight_OI: Tensor) -> bool:
    suits = ONEDNN and x.device.type == "cpu" and x.dtype == torch.float32
    return suits and x.numel() * len(weight_OI) >= WORTHWHILE
