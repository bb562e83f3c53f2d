"""Linear layers in float32 on a CPU by oneDNN instead of the BLAS library that PyTorch was built with.

PyTorch uses MKL for float32. On an AMD EPYC, MKL reaches 170 to 190 GFLOP/s on two cores, and oneDNN, which PyTorch
also contains, 280 to 400 (benchmarks/model.md); other processors were not measured. Other devices and precisions use
PyTorch's linear layer. Results differ only in the order of summation. Shape letters: N rows, I inputs, O outputs.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

ONEDNN_AVAILABLE = torch.backends.mkldnn.is_available()
MIN_MULTIPLICATIONS = 2**23
"""Smallest matmul for which oneDNN saves more time than its call overhead, about 0.1 ms."""


class OnednnLinear(nn.Linear):
    """PyTorch's linear layer, by oneDNN where that is faster, with an optional scale of its output (layer scale)."""

    def forward(self, x: Tensor, gamma_O: Tensor | None = None) -> Tensor:
        """Map [..., I] to [..., O]; scales weights and bias rather than the tokens, which are many more."""
        if gamma_O is None:
            return onednn_linear(x, self.weight, self.bias)
        return onednn_linear(x, gamma_O.unsqueeze(1) * self.weight, gamma_O * self.bias)


def onednn_linear(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    """Return W x + b for every vector: [..., I] to [..., O]."""
    if _uses_onednn(x, weight_OI) and not torch.is_autocast_enabled("cpu"):
        y: Tensor = _OnednnLinear.apply(x, weight_OI, bias_O)
        return y
    return functional.linear(x, weight_OI, bias_O)


def matmul_transposed(a_NI: Tensor, b_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """Return a bᵀ + bias, [N, O]; not differentiable."""
    return _matmul(a_NI, b_OI, bias_O) if _uses_onednn(a_NI, b_OI) else functional.linear(a_NI, b_OI, bias_O)


def _transposed_matmul(a_NO: Tensor, b_NI: Tensor) -> Tensor:
    """Return aᵀ b, [O, I]; oneDNN is faster with the narrower matrix first."""
    if a_NO.shape[1] > b_NI.shape[1]:
        return matmul_transposed(b_NI.T, a_NO.T).T
    return matmul_transposed(a_NO.T, b_NI.T)


@torch.library.custom_op("labram::matmul_transposed", mutates_args=())
def _matmul(a: Tensor, b_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(a, b_OI, bias_O, "none", [], "")  # type: ignore[no-any-return]


@_matmul.register_fake
def _(a: Tensor, b_OI: Tensor, _: Tensor | None) -> Tensor:
    return a.new_empty(*a.shape[:-1], len(b_OI))


class _OnednnLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight_OI)
        ctx.biased = bias_O is not None
        return matmul_transposed(x, weight_OI, bias_O)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_OI = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        g_NO = gradient.flatten(0, -2)
        return (
            matmul_transposed(gradient, weight_OI.T) if to_x else None,
            _transposed_matmul(g_NO, x.flatten(0, -2)) if to_weight else None,
            g_NO.sum(0) if ctx.biased and to_bias else None,
        )


def _uses_onednn(x: Tensor, weight_OI: Tensor) -> bool:
    supported = ONEDNN_AVAILABLE and x.device.type == "cpu" and x.dtype == torch.float32
    return supported and x.numel() * len(weight_OI) >= MIN_MULTIPLICATIONS
