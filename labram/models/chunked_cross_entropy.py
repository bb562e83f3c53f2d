"""Cross-entropy of predicted codes, chunk by chunk, so that all logits are never in memory (equations 10 and 11).

With 8192 codes, the logits are forty times as large as the tokens. Each chunk's logits and their gradient stay in the
processor's cache; only the gradients of tokens and weights are kept. Shape letters: `config`; M predicted tokens.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from labram.models.onednn_linear import matmul_transposed

LOGITS_PER_CHUNK = 2**21
"""8 MiB in float32."""


def chunked_cross_entropy(
    tokens_MD: Tensor, head: nn.Linear, codes_M: Tensor, weights_M: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the weighted sum of the cross-entropies of all tokens, and whether each prediction is correct.

    Args:
        tokens_MD: Tokens of masked patches.
        head: Linear layer from tokens to logits.
        codes_M: True codes, int64.
        weights_M: Weight of each token in the sum, float32.

    Returns:
        The loss (scalar, float32) and hits, bool [M].
    """
    device = tokens_MD.device.type
    reduced = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else tokens_MD.dtype
    with torch.autocast(device, enabled=False):
        loss, hits_M = _ChunkedCrossEntropy.apply(
            tokens_MD, head.weight, head.bias, codes_M, weights_M, reduced, torch.is_grad_enabled()
        )
    return loss, hits_M


class _ChunkedCrossEntropy(torch.autograd.Function):
    """A weighted sum, whose gradient is known up to one factor in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        tokens_MD: Tensor,
        weight_KD: Tensor,
        bias_K: Tensor,
        codes_M: Tensor,
        weights_M: Tensor,
        precision: torch.dtype,
        differentiate: bool,  # noqa: FBT001
    ) -> tuple[Tensor, Tensor]:
        weight, bias = weight_KD.to(precision), bias_K.to(precision)
        chunk = max(1, LOGITS_PER_CHUNK // len(bias))
        losses, hits, token_gradients = [], [], []
        weight_gradient_DK = weight_KD.new_zeros(weight_KD.shape[::-1])
        bias_gradient = torch.zeros_like(bias_K)
        for tokens, codes, weights in zip(
            tokens_MD.split(chunk), codes_M.split(chunk), weights_M.split(chunk), strict=True
        ):
            logits = matmul_transposed(tokens.to(precision), weight, bias).float()
            codes, weights = codes.unsqueeze(1), weights.unsqueeze(1)
            maxima, predicted = logits.max(1, keepdim=True)
            hits.append((predicted == codes).squeeze(1))
            true_logits = logits.gather(1, codes) - maxima
            exponentials = logits.sub_(maxima).exp_()  # in place: a second chunk would not fit into the cache
            sums = exponentials.sum(1, keepdim=True)
            losses.append(((sums.log() - true_logits) * weights).sum())
            if differentiate:
                # The logits' gradient is exponentials · weights / sums, minus the weights at the true codes. Applying
                # the factors to tokens and subtracting the true codes at the end saves passes over the large matrix.
                factors = weights / sums
                bias_gradient += torch.mv(exponentials.T, factors.squeeze(1))
                exponentials = exponentials.to(precision)
                token_gradients.append(matmul_transposed(exponentials, weight.T) * factors)
                weight_gradient_DK += matmul_transposed((tokens * factors).to(precision).T, exponentials.T)
        if differentiate:
            weights_M1 = weights_M.unsqueeze(1)
            weight_gradient = weight_gradient_DK.T.contiguous()
            weight_gradient.index_add_(0, codes_M, (tokens_MD * -weights_M1).to(weight_gradient.dtype))
            bias_gradient.index_add_(0, codes_M, -weights_M)
            token_gradient = torch.cat(token_gradients) - weight_KD[codes_M] * weights_M1
            ctx.save_for_backward(token_gradient.to(tokens_MD.dtype), weight_gradient, bias_gradient)
        hits_M = torch.cat(hits)
        ctx.mark_non_differentiable(hits_M)
        return torch.stack(losses).sum(), hits_M

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, loss_gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        tokens, weight, bias = (saved * loss_gradient for saved in ctx.saved_tensors)
        return tokens, weight, bias, None, None, None, None
