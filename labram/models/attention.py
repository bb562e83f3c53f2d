"""Scaled dot-product attention (paper, equation 3), by the fastest exact way for the device and precision.

PyTorch's kernel is that way everywhere but in bfloat16 on a CPU, where it takes two to three times as long as the
products it consists of (benchmarks/model.md). There, scores are formed for a few heads at a time, so that they stay in
the processor's cache, and formed again in the backward pass rather than kept. Softmax has three passes over the scores:
maximum, exponential, sum. Queries and keys that LaBraM normalises have bounded products, so the first is not needed;
a column of ones beside the values makes the product with them yield the sums too. Shape letters: `config`; G counts
the heads of all windows.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

SCORES_AT_ONCE = 2**20
"""Largest piece of the score matrices in memory, for each thread: 2 MiB."""

LARGEST_SCORE = 40.0
"""Above it exponentials, or sums of them, might leave the range of bfloat16."""


def attend(q_BHSE: Tensor, k_BHSE: Tensor, v_BHSE: Tensor) -> Tensor:
    """softmax(q kᵀ / sqrt(E)) v of every head, [B, H, S, E]."""
    if q_BHSE.device.type == "cpu" and q_BHSE.dtype == torch.bfloat16:
        scaled_GSE = (q_BHSE * q_BHSE.shape[-1] ** -0.5).flatten(0, 1)
        y_GSE: Tensor = _attend(scaled_GSE, k_BHSE.flatten(0, 1), v_BHSE.flatten(0, 1))[0]
        return y_GSE.view_as(q_BHSE)
    return functional.scaled_dot_product_attention(q_BHSE, k_BHSE, v_BHSE)


@torch.library.custom_op("labram::attend", mutates_args=())
def _attend(q_GSE: Tensor, k_GSE: Tensor, v_GSE: Tensor) -> tuple[Tensor, Tensor]:
    """The heads' outputs, and the sum of the exponentials of each query's scores, [G, S, 1]."""
    q, k, v = _with_column(q_GSE, -_shift(q_GSE, k_GSE)), _with_column(k_GSE, 1.0), _with_column(v_GSE, 1.0)
    y = torch.empty_like(v)
    for room, to_y, q_, k_, v_ in _pieces(1, y, q, k, v):
        torch.bmm(_exponentials(q_, k_, room[0]), v_, out=to_y)
    width = v_GSE.shape[-1]
    y_GSE, sums_GS1 = y[:, : v_GSE.shape[1], :width], y[:, : v_GSE.shape[1], width : width + 1]
    return y_GSE / sums_GS1, sums_GS1.contiguous()


@torch.library.custom_op("labram::attend_backward", mutates_args=())
def _attend_backward(
    gradient: Tensor, q_GSE: Tensor, k_GSE: Tensor, v_GSE: Tensor, y_GSE: Tensor, sums_GS1: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The derivative of softmax needs, of each row, only the product of output and gradient (FlashAttention, § 3.1)."""
    row_GS1 = (gradient * y_GSE).sum(-1, keepdim=True)
    q, k, v = _with_column(q_GSE, -_shift(q_GSE, k_GSE)), _with_column(k_GSE, 1.0), _with_column(v_GSE, 1.0)
    g = _with_column(gradient / sums_GS1, -row_GS1 / sums_GS1)
    gradients = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    for room, to_q, to_k, to_v, g_, q_, k_, v_ in _pieces(2, *gradients, g, q, k, v):
        scores = _exponentials(q_, k_, room[0])
        torch.bmm(scores.transpose(1, 2), g_, out=to_v)
        scores.mul_(torch.bmm(g_, v_.transpose(1, 2), out=room[1]))
        torch.bmm(scores, k_, out=to_q)
        torch.bmm(scores.transpose(1, 2), q_, out=to_k)
    to_q, to_k, to_v = (x[:, : q_GSE.shape[1], : q_GSE.shape[2]].contiguous() for x in gradients)
    return to_q, to_k, to_v


def _shift(q_GSE: Tensor, k_GSE: Tensor) -> Tensor | float:
    """What to take from the scores of a query: nothing if their bound |q| |k| is small enough, else the largest."""
    longest_q, longest_k = (torch.linalg.vector_norm(x, dim=-1).max() for x in (q_GSE, k_GSE))
    if longest_q * longest_k <= LARGEST_SCORE:
        return 0.0
    return torch.bmm(q_GSE, k_GSE.transpose(1, 2)).amax(-1, keepdim=True)


def _with_column(x_GSE: Tensor, column: Tensor | float) -> Tensor:
    """One column more, and zeros until tokens and width are multiples of 8: products of such matrices are faster."""
    heads, length, width = x_GSE.shape
    wider = x_GSE.new_zeros(heads, -(-length // 8) * 8, -(-(width + 1) // 8) * 8)
    wider[:, :length, :width] = x_GSE
    wider[:, :length, width : width + 1] = column
    return wider


def _pieces(matrices: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The tensors a few heads at a time, each time behind the same room for some matrices of their scores."""
    length = tensors[0].shape[1]
    heads = max(1, SCORES_AT_ONCE // length**2) * torch.get_num_threads()
    room = tensors[0].new_empty(matrices, min(heads, len(tensors[0])), length, length)
    for piece in zip(*(tensor.split(heads) for tensor in tensors), strict=True):
        yield room[:, : len(piece[0])], *piece


def _exponentials(q: Tensor, k: Tensor, room: Tensor) -> Tensor:
    return torch.bmm(q, k.transpose(1, 2), out=room).exp_()


@_attend.register_fake
def _(q_GSE: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(q_GSE), torch.empty_like(q_GSE[..., :1])


@_attend_backward.register_fake
def _(*inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(inputs[1]), torch.empty_like(inputs[2]), torch.empty_like(inputs[3])


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output)


def _differentiate(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _attend_backward(gradient.contiguous(), *ctx.saved_tensors)  # type: ignore[no-any-return]


_attend.register_autograd(_differentiate, setup_context=_keep)
