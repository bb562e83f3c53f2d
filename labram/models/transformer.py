"""The pre-norm transformer block (paper, section 2.1, equations 3 and 4). Shape letters: `config`."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from labram.models.attention import attend
from labram.models.config import EncoderConfig

NORM_EPS = 1e-6


class Attention(nn.Module):
    """Multi-head self-attention; LaBraM normalises queries and keys before their product (equation 3)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        head_width = config.width // config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(config.width)) if config.qkv_bias else None
        self.v_bias = nn.Parameter(torch.zeros(config.width)) if config.qkv_bias else None
        self.q_norm = nn.LayerNorm(head_width, eps=NORM_EPS) if config.qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(head_width, eps=NORM_EPS) if config.qk_norm else nn.Identity()
        self.proj = nn.Linear(config.width, config.width)

    def forward(self, x_BSD: Tensor) -> Tensor:
        """Attend over all tokens of a window: [B, S, D] to [B, S, D]."""
        bias = None
        if self.q_bias is not None and self.v_bias is not None:
            bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv_BS3HE = functional.linear(x_BSD, self.qkv.weight, bias).unflatten(-1, (3, self.heads, -1))
        q_BSHE, k_BSHE, v_BSHE = qkv_BS3HE.unbind(2)
        q_BHSE = self.q_norm(q_BSHE).to(v_BSHE.dtype).transpose(1, 2)
        k_BHSE = self.k_norm(k_BSHE).to(v_BSHE.dtype).transpose(1, 2)
        y_BHSE = attend(q_BHSE, k_BHSE, v_BSHE.transpose(1, 2))
        y_BSD = y_BHSE.transpose(1, 2).flatten(2)
        return self.proj(y_BSD)  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Two linear layers with a GELU between, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x_BSD: Tensor) -> Tensor:
        """[B, S, D] to [B, S, D], token by token."""
        return self.fc2(functional.gelu(self.fc1(x_BSD)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention and feed-forward, each behind a LayerNorm and, in LaBraM, scaled by a learned vector (layer scale)."""

    def __init__(self, config: EncoderConfig, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.mlp = FeedForward(config.width)
        scaled = config.layer_scale > 0
        self.gamma_1 = nn.Parameter(torch.full((config.width,), config.layer_scale)) if scaled else None
        self.gamma_2 = nn.Parameter(torch.full((config.width,), config.layer_scale)) if scaled else None

    def forward(self, x_BSD: Tensor) -> Tensor:
        """[B, S, D] to [B, S, D]."""
        x_BSD = self._add(x_BSD, self.attn(self.norm1(x_BSD)), self.gamma_1)
        return self._add(x_BSD, self.mlp(self.norm2(x_BSD)), self.gamma_2)

    def _add(self, x_BSD: Tensor, branch_BSD: Tensor, gamma_D: Tensor | None) -> Tensor:
        """The residual sum; in training whole branches are dropped by sample and the kept ones scaled up."""
        if gamma_D is not None:
            branch_BSD = gamma_D * branch_BSD
        if self.training and self.drop_path > 0:
            keep = 1.0 - self.drop_path
            kept_B11 = torch.empty(len(x_BSD), 1, 1, dtype=x_BSD.dtype, device=x_BSD.device).bernoulli_(keep)
            branch_BSD = branch_BSD * (kept_B11 / keep)
        return x_BSD + branch_BSD
