"""Patch embeddings: the temporal encoder of signals, and a linear map of codes. Shape letters: `config`."""

from torch import Tensor, nn
from torch.nn import functional

from labram.models.config import POSITIONS


class TemporalEncoder(nn.Module):
    """Three temporal convolutions, each with GroupNorm and GELU (paper, section 2.1, equation 1 and figure 1).

    GroupNorm spans all channels and seconds of a window, as in the published code. A patch's vector therefore depends
    on the whole window, including which channels it has.
    """

    def __init__(self, conv_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, conv_channels, (1, 15), stride=(1, 8), padding=(0, 7))
        self.norm1 = nn.GroupNorm(4, conv_channels)
        self.conv2 = nn.Conv2d(conv_channels, conv_channels, (1, 3), padding=(0, 1))
        self.norm2 = nn.GroupNorm(4, conv_channels)
        self.conv3 = nn.Conv2d(conv_channels, conv_channels, (1, 3), padding=(0, 1))
        self.norm3 = nn.GroupNorm(4, conv_channels)

    def forward(self, x_BNAT: Tensor) -> Tensor:
        """Embed patches: [B, N, A, 200] in units of 100 µV to [B, L, D], features ordered (position, channel)."""
        y = x_BNAT.flatten(1, 2).unsqueeze(1)
        for convolution, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2), (self.conv3, self.norm3)):
            y = functional.gelu(norm(convolution(y)))
        assert y.shape[-1] == POSITIONS
        return y.permute(0, 2, 3, 1).flatten(2)


class CodeEmbedding(nn.Module):
    """Linear map of code vectors to the decoder's width (paper, section 2.2)."""

    def __init__(self, code_width: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(code_width, width, 1)

    def forward(self, codes_BLC: Tensor) -> Tensor:
        """Map [B, L, C] to [B, L, D]; the weights are those of the published 1 x 1 convolution."""
        return functional.linear(codes_BLC, self.proj.weight.flatten(1), self.proj.bias)
