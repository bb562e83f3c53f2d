"""Cross-entropy between predicted and true codes, without ever holding all logits (paper, equations 10 and 11).

With 8192 codes the logits are forty times as large as the tokens they are made of. Here they exist for a few tokens
at a time: their gradient is formed while they are in the processor's cache, and only its products with tokens and
weights are kept. Shape letters: `config`; M counts the tokens predicted.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from labram.models.onednn_linear import product

LOGITS_AT_ONCE = 2**21
"""Largest piece of the logits in memory: 8 MiB."""


def code_cross_entropy(tokens_MD: Tensor, head: nn.Linear, codes_M: Tensor, shares_M: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted sum of the cross-entropies of all tokens, and which of them are predicted right.

    Args:
        tokens_MD: Tokens of hidden patches.
        head: Linear layer from tokens to logits.
        codes_M: True codes, int64.
        shares_M: Weight of each token in the sum, float32.

    Returns:
        The loss (scalar, float32) and hits, bool [M].
    """
    device = tokens_MD.device.type
    reduced = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else tokens_MD.dtype
    with torch.autocast(device, enabled=False):
        loss, hits_M = _CodeCrossEntropy.apply(
            tokens_MD, head.weight, head.bias, codes_M, shares_M, reduced, torch.is_grad_enabled()
        )
    return loss, hits_M


class _CodeCrossEntropy(torch.autograd.Function):
    """The loss is a plain weighted sum, so its gradient is known, up to one factor, as soon as the logits are."""

    @staticmethod
    def forward(
        ctx: Any,
        tokens_MD: Tensor,
        weight_KD: Tensor,
        bias_K: Tensor,
        codes_M: Tensor,
        shares_M: Tensor,
        precision: torch.dtype,
        differentiate: bool,  # noqa: FBT001
    ) -> tuple[Tensor, Tensor]:
        weight, bias = weight_KD.to(precision), bias_K.to(precision)
        at_once = max(1, LOGITS_AT_ONCE // len(bias))
        losses, hits, token_gradients = [], [], []
        weight_gradient_DK = weight_KD.new_zeros(weight_KD.shape[::-1])
        bias_gradient = torch.zeros_like(bias_K)
        for tokens, codes, shares in zip(
            tokens_MD.split(at_once), codes_M.split(at_once), shares_M.split(at_once), strict=True
        ):
            logits = product(tokens.to(precision), weight, bias).float()
            codes, shares = codes.unsqueeze(1), shares.unsqueeze(1)
            largest, likeliest = logits.max(1, keepdim=True)
            hits.append((likeliest == codes).squeeze(1))
            of_codes = logits.gather(1, codes) - largest
            exponentials = logits.sub_(largest).exp_()  # in place: a second piece would not fit the cache
            sums = exponentials.sum(1, keepdim=True)
            losses.append(((sums.log() - of_codes) * shares).sum())
            if differentiate:
                # The logits' gradient is exponentials · shares / sums, less the shares at the true codes. The factor
                # of a token goes into its products, the true codes come last: the large matrix needs no further pass.
                factors = shares / sums
                bias_gradient += torch.mv(exponentials.T, factors.squeeze(1))
                exponentials = exponentials.to(precision)
                token_gradients.append(product(exponentials, weight.T) * factors)
                weight_gradient_DK += product((tokens * factors).to(precision).T, exponentials.T)
        if differentiate:
            shares_M1 = shares_M.unsqueeze(1)
            weight_gradient = weight_gradient_DK.T.contiguous()
            weight_gradient.index_add_(0, codes_M, (tokens_MD * -shares_M1).to(weight_gradient.dtype))
            bias_gradient.index_add_(0, codes_M, -shares_M)
            token_gradient = torch.cat(token_gradients) - weight_KD[codes_M] * shares_M1
            ctx.save_for_backward(token_gradient.to(tokens_MD.dtype), weight_gradient, bias_gradient)
        hits_M = torch.cat(hits)
        ctx.mark_non_differentiable(hits_M)
        return torch.stack(losses).sum(), hits_M

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, loss_gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        tokens, weight, bias = (saved * loss_gradient for saved in ctx.saved_tensors)
        return tokens, weight, bias, None, None, None, None
