"""The pre-norm transformer block (paper, section 2.1, equations 3 and 4). Shape letters: `config`."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from labram.models.config import EncoderConfig
from labram.models.onednn_linear import OnednnLinear, onednn_linear

NORM_EPS = 1e-6


class HeadNorm(nn.LayerNorm):
    """LayerNorm over the width of a head, always computed in float32.

    For 16-bit input on a CPU, PyTorch also accumulates the gradients of the weights in 16 bits. Over the 82,000 rows of
    a batch, most of the sum is lost, and it takes three times as long (benchmarks/model.md).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [..., E]; the result has the dtype of `x`."""
        return super().forward(x.float()).to(x.dtype)


class Attention(nn.Module):
    """Multi-head self-attention; LaBraM normalises queries and keys (equation 3)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        head_width = config.width // config.heads
        self.qkv = OnednnLinear(config.width, 3 * config.width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(config.width)) if config.qkv_bias else None
        self.v_bias = nn.Parameter(torch.zeros(config.width)) if config.qkv_bias else None
        self.q_norm = HeadNorm(head_width, eps=NORM_EPS) if config.qk_norm else nn.Identity()
        self.k_norm = HeadNorm(head_width, eps=NORM_EPS) if config.qk_norm else nn.Identity()
        self.proj = OnednnLinear(config.width, config.width)

    def forward(self, x_BSD: Tensor, gamma_D: Tensor | None) -> Tensor:
        """Attend over all tokens of a window and scale the output: [B, S, D] to [B, S, D]."""
        bias = None
        if self.q_bias is not None and self.v_bias is not None:
            bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv_BS3HE = onednn_linear(x_BSD, self.qkv.weight, bias).unflatten(-1, (3, self.heads, -1))
        q_BSHE, k_BSHE, v_BSHE = qkv_BS3HE.unbind(2)
        y_BHSE = functional.scaled_dot_product_attention(
            *(x.transpose(1, 2) for x in (self.q_norm(q_BSHE), self.k_norm(k_BSHE), v_BSHE))
        )
        return self.proj(y_BHSE.transpose(1, 2).flatten(2), gamma_D)  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them; the hidden width is 4 D."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = OnednnLinear(width, 4 * width)
        self.fc2 = OnednnLinear(4 * width, width)

    def forward(self, x_BSD: Tensor, gamma_D: Tensor | None) -> Tensor:
        """Map and scale each token: [B, S, D] to [B, S, D]."""
        return self.fc2(functional.gelu(self.fc1(x_BSD)), gamma_D)  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention and feed-forward, each after a LayerNorm and, in LaBraM, with a learned layer scale.

    The probability of keeping a branch is a tensor, so that one compiled graph serves all blocks.
    """

    keep: Tensor

    def __init__(self, config: EncoderConfig, drop_path: float) -> None:
        super().__init__()
        self.drops = drop_path > 0
        self.register_buffer("keep", torch.tensor(1.0 - drop_path), persistent=False)
        self.norm1 = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.mlp = FeedForward(config.width)
        scaled = config.layer_scale > 0
        self.gamma_1 = nn.Parameter(torch.full((config.width,), config.layer_scale)) if scaled else None
        self.gamma_2 = nn.Parameter(torch.full((config.width,), config.layer_scale)) if scaled else None

    def forward(self, x_BSD: Tensor) -> Tensor:
        """Transform [B, S, D] to [B, S, D]."""
        x_BSD = x_BSD + self._dropped(self.attn(self.norm1(x_BSD), self.gamma_1))
        return x_BSD + self._dropped(self.mlp(self.norm2(x_BSD), self.gamma_2))

    def _dropped(self, branch_BSD: Tensor) -> Tensor:
        """Apply stochastic depth per sample in training, and scale the kept branches up."""
        if not (self.training and self.drops):
            return branch_BSD
        kept_B11 = torch.bernoulli(self.keep.expand(len(branch_BSD), 1, 1))
        return branch_BSD * (kept_B11 / self.keep).to(branch_BSD.dtype)
