"""Our models, rearranged to compute as the published code does, for comparison of speed.

Restores what the published scripts do (docs/model.md, numbers 27 and 28): full score matrices, two passes for two
masks, each with its own patch embedding, logits and one-hot matrices of all tokens by all codes, unchunked distances,
and codebook statistics in the frozen tokenizer too. Outputs are equal (tests/benchmarks/test_published.py); only time
and memory differ.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from labram.models.masked import MaskedModel
from labram.models.onednn_linear import OnednnLinear
from labram.models.quantizer import Quantized, Quantizer
from labram.models.tokenizer import Tokenizer
from labram.models.transformer import Attention, Block


def as_published(model: nn.Module) -> nn.Module:
    """Make a model compute as the published code does, in place."""
    forwards: dict[type, Any] = {OnednnLinear: _linear, Attention: _attention, Block: _block, Quantizer: _quantizer}
    for module in model.modules():
        if type(module) in forwards:
            module.forward = MethodType(forwards[type(module)], module)
    return model


def _linear(self: OnednnLinear, x: Tensor, _: None = None) -> Tensor:
    return nn.Linear.forward(self, x)


def _attention(self: Attention, x_BSD: Tensor, _: None) -> Tensor:
    bias = None
    if self.q_bias is not None and self.v_bias is not None:
        bias = torch.cat([self.q_bias, torch.zeros_like(self.v_bias, requires_grad=False), self.v_bias])
    qkv = functional.linear(x_BSD, self.qkv.weight, bias).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
    q, k, v = qkv[0], qkv[1], qkv[2]
    q, k = (
        nn.LayerNorm.forward(norm, x).type_as(v) if isinstance(norm, nn.LayerNorm) else x
        for norm, x in ((self.q_norm, q), (self.k_norm, k))
    )
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    y = scores.softmax(dim=-1).type_as(v) @ v
    return self.proj(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def _block(self: Block, x_BSD: Tensor) -> Tensor:
    for norm, branch, gamma_D in ((self.norm1, self.attn, self.gamma_1), (self.norm2, self.mlp, self.gamma_2)):
        branch_BSD = branch(norm(x_BSD), None)
        x_BSD = x_BSD + self._dropped(branch_BSD if gamma_D is None else gamma_D * branch_BSD)
    return x_BSD


def _quantizer(self: Quantizer, features_BLC: Tensor) -> Quantized:
    z_BLC = functional.normalize(features_BLC, dim=-1)
    z_MC, book = z_BLC.flatten(0, 1), self.codebook
    distances = z_MC.square().sum(1, keepdim=True) + book.square().sum(1) - 2 * torch.einsum("bd,nd->bn", z_MC, book)
    codes = distances.argmin(1)
    one_hot = functional.one_hot(codes, len(book)).type(z_MC.dtype)
    chosen = self.codebook[codes].view_as(z_BLC)
    counts = one_hot.sum(0)
    self.usage.mul_(self.decay).add_(counts, alpha=1 - self.decay)
    if self.training:
        sums = z_MC.detach().t() @ one_hot
        empty = counts == 0
        means = functional.normalize((sums / counts.masked_fill(empty, 1.0)).t(), dim=-1)
        means = torch.where(empty[:, None], book, means)
        self.codebook.copy_(functional.normalize(self.decay * book + (1 - self.decay) * means, dim=-1))
    commitment = functional.mse_loss(chosen.detach(), z_BLC)
    return Quantized(z_BLC + (chosen - z_BLC).detach(), codes.view(z_BLC.shape[:-1]), commitment)


@torch.no_grad()
def encode(tokenizer: Tokenizer, x_BNAT: Tensor, rows_N: Tensor) -> Tensor:
    """Return codes [B, L] by a forward pass of the quantizer, as the published script does."""
    return tokenizer.quantizer(tokenizer.features(x_BNAT, rows_N)).codes  # type: ignore[no-any-return]


def masked_loss(model: MaskedModel, x_BNAT: Tensor, rows_N: Tensor, mask_BL: Tensor, codes_BL: Tensor) -> Tensor:
    """Return the symmetric loss by two passes of the whole model."""
    total = x_BNAT.new_zeros(())
    for mask in (mask_BL, ~mask_BL):
        logits = model.lm_head(model(x_BNAT, rows_N, mask)[:, 1:][mask])
        total = total + functional.cross_entropy(logits.float(), codes_BL[mask])
    return total
