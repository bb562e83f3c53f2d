"""Scaled dot-product attention (paper, equation 3), by the fastest exact way for the device and precision.

PyTorch's kernel is that way everywhere but for 16-bit numbers on a CPU, where its backward pass takes several times as
long as the products it consists of (benchmarks/model.md). There, scores are formed for a few heads at a time, so that
they stay in the processor's cache, and formed again in the backward pass rather than kept. Shape letters: `config`; G
counts the heads of all windows.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

SCORES_AT_ONCE = 2**20
"""Largest piece of the score matrices in memory, for each thread: 2 MiB."""


def attend(q_BHSE: Tensor, k_BHSE: Tensor, v_BHSE: Tensor) -> Tensor:
    """softmax(q kᵀ / sqrt(E)) v of every head, [B, H, S, E]."""
    if q_BHSE.device.type == "cpu" and q_BHSE.dtype in (torch.bfloat16, torch.float16):
        scaled_GSE = (q_BHSE * q_BHSE.shape[-1] ** -0.5).flatten(0, 1)
        y_GSE: Tensor = _attend(scaled_GSE, k_BHSE.flatten(0, 1), v_BHSE.flatten(0, 1))
        return y_GSE.view_as(q_BHSE)
    return functional.scaled_dot_product_attention(q_BHSE, k_BHSE, v_BHSE)


@torch.library.custom_op("labram::attend", mutates_args=())
def _attend(q_GSE: Tensor, k_GSE: Tensor, v_GSE: Tensor) -> Tensor:
    y_GSE = torch.empty_like(q_GSE)
    for y, q, k, v in _pieces(y_GSE, q_GSE, k_GSE, v_GSE):
        torch.bmm(_scores(q, k), v, out=y)
    return y_GSE


@torch.library.custom_op("labram::attend_backward", mutates_args=())
def _attend_backward(
    gradient: Tensor, q_GSE: Tensor, k_GSE: Tensor, v_GSE: Tensor, y_GSE: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The derivative of softmax needs, of each row, only the product of output and gradient (FlashAttention, § 3.1)."""
    row_GS1 = (gradient * y_GSE).sum(-1, keepdim=True)
    gradients = torch.empty_like(q_GSE), torch.empty_like(k_GSE), torch.empty_like(v_GSE)
    for to_q, to_k, to_v, g, row, q, k, v in _pieces(*gradients, gradient, row_GS1, q_GSE, k_GSE, v_GSE):
        scores = _scores(q, k)
        torch.bmm(scores.transpose(1, 2), g, out=to_v)
        scores.mul_(torch.bmm(g, v.transpose(1, 2)).sub_(row))
        torch.bmm(scores, k, out=to_q)
        torch.bmm(scores.transpose(1, 2), q, out=to_k)
    return gradients


def _pieces(*tensors: Tensor) -> Any:
    heads = max(1, SCORES_AT_ONCE // tensors[0].shape[1] ** 2) * torch.get_num_threads()
    return zip(*(tensor.split(heads) for tensor in tensors), strict=True)


def _scores(q: Tensor, k: Tensor) -> Tensor:
    return torch.softmax(torch.bmm(q, k.transpose(1, 2)), dim=-1)


@_attend.register_fake
def _(*inputs: Tensor) -> Tensor:
    return torch.empty_like(inputs[0])


@_attend_backward.register_fake
def _(*inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(inputs[1]), torch.empty_like(inputs[2]), torch.empty_like(inputs[3])


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs, output)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _attend_backward(gradient.contiguous(), *ctx.saved_tensors)  # type: ignore[no-any-return]


_attend.register_autograd(_differentiate, setup_context=_keep)
