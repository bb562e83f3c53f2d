"""Two convolutional networks after their papers, as baselines: EEGNet and ShallowFBCSPNet.

Lengths that the papers state in samples are kept in seconds, at 200 Hz. Weights are named as in braindecode.

Shape letters: B windows, C channels, T samples at 200 Hz, O outputs, F filters.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, get_args

import torch
from torch import Tensor, nn

from labram.input_spec import SAMPLE_RATE_HZ
from labram.recipe import NetworkName

SMALLEST_POWER = 1e-6
"""Floor of a pooled square before its logarithm."""


class Network(nn.Module):
    """A network on windows [B, C, T] with one linear layer at its end, [B, O]."""

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Return logits, or standardised targets, [B, O]."""
        raise NotImplementedError

    @torch.no_grad()
    def constrain(self) -> None:
        """Bound the norms that the paper bounds, after an optimiser step."""


class EEGNet(Network):
    """EEGNet-8,2 (Lawhern et al. 2018, J. Neural Eng. 15(5), 056013, table 2).

    Temporal filters of half a second, two spatial filters for each, and a separable convolution of half a second. The
    running statistics have PyTorch's momentum of 0.1: those of Keras lag behind in the few steps of small tasks.

    Args:
        channels: C.
        samples: T, at least 40.
        outputs: O.
        dropout: 0.25 across subjects, as in the paper.
    """

    FILTERS, SPATIAL = 8, 2
    LONGEST_SPATIAL, LONGEST_CLASSIFIER = 1.0, 0.25
    """Bounds of the Euclidean norms of spatial filters and of the classifier's rows."""

    def __init__(self, channels: int, samples: int, outputs: int, *, dropout: float = 0.25) -> None:
        super().__init__()
        first, second = SAMPLE_RATE_HZ // 2, SAMPLE_RATE_HZ // 8
        width = self.FILTERS * self.SPATIAL
        self.conv_temporal = nn.Conv2d(1, self.FILTERS, (1, first), bias=False, padding=(0, first // 2))
        self.bnorm_temporal = nn.BatchNorm2d(self.FILTERS, eps=1e-3)
        self.conv_spatial = nn.Conv2d(self.FILTERS, width, (channels, 1), bias=False, groups=self.FILTERS)
        self.bnorm_1 = nn.BatchNorm2d(width, eps=1e-3)
        self.conv_separable_depth = nn.Conv2d(
            width, width, (1, second), bias=False, groups=width, padding=(0, second // 2)
        )
        self.conv_separable_point = nn.Conv2d(width, width, 1, bias=False)
        self.bnorm_2 = nn.BatchNorm2d(width, eps=1e-3)
        self.after_1 = nn.Sequential(nn.ELU(), nn.AvgPool2d((1, 4)), nn.Dropout(dropout))
        self.after_2 = nn.Sequential(nn.ELU(), nn.AvgPool2d((1, 8)), nn.Dropout(dropout))
        pooled = (samples + 1) // 4
        last = (pooled + 1 - second % 2) // 8
        self.classifier = nn.Linear(width * last, outputs)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Return logits, or standardised targets, [B, O]."""
        y_BFCT = self.bnorm_temporal(self.conv_temporal(x_BCT.unsqueeze(1)))
        y_BF1T = self.after_1(self.bnorm_1(self.conv_spatial(y_BFCT)))
        y_BF1T = self.after_2(self.bnorm_2(self.conv_separable_point(self.conv_separable_depth(y_BF1T))))
        return self.classifier(y_BF1T.flatten(1))  # type: ignore[no-any-return]

    @torch.no_grad()
    def constrain(self) -> None:
        """Bound the norms of spatial filters and of the classifier's rows."""
        for weight, longest in (
            (self.conv_spatial.weight, self.LONGEST_SPATIAL),
            (self.classifier.weight, self.LONGEST_CLASSIFIER),
        ):
            weight.copy_(weight.renorm(2, 0, longest))


class ShallowFBCSPNet(Network):
    """ShallowFBCSPNet (Schirrmeister et al. 2017, doi 10.1002/hbm.23730): learned log band power.

    40 temporal filters of 0.1 s, 40 spatial filters, squares, means over 0.3 s, logarithms.

    Args:
        channels: C.
        samples: T, at least 79.
        outputs: O.
        dropout: As in the paper.
    """

    FILTERS = 40

    def __init__(self, channels: int, samples: int, outputs: int, *, dropout: float = 0.5) -> None:
        super().__init__()
        length, pool, stride = SAMPLE_RATE_HZ // 10, 3 * SAMPLE_RATE_HZ // 10, 6 * SAMPLE_RATE_HZ // 100
        self.conv_time = nn.Conv2d(1, self.FILTERS, (1, length))
        self.conv_spat = nn.Conv2d(self.FILTERS, self.FILTERS, (channels, 1), bias=False)
        self.bnorm = nn.BatchNorm2d(self.FILTERS)
        self.pool = nn.AvgPool2d((1, pool), stride=(1, stride))
        self.drop = nn.Dropout(dropout)
        last = (samples - length + 1 - pool) // stride + 1
        self.classifier = nn.Linear(self.FILTERS * last, outputs)
        for layer in (self.conv_time, self.conv_spat, self.classifier):
            nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(self.conv_time.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Return logits, or standardised targets, [B, O]."""
        y_BF1T = self.bnorm(self._filtered(x_BCT)).square()
        power_BF1T = self.pool(y_BF1T).clamp_min(SMALLEST_POWER).log()
        return self.classifier(self.drop(power_BF1T).flatten(1))  # type: ignore[no-any-return]

    def _filtered(self, x_BCT: Tensor) -> Tensor:
        """Filter in time and space [B, F, 1, T'] by one convolution: nothing stands between the two."""
        time_FL, space_FFC = self.conv_time.weight[:, 0, 0], self.conv_spat.weight[..., 0]
        kernel_FCL = torch.einsum("gfc,fl->gcl", space_FFC, time_FL)
        bias_F = space_FFC.sum(2) @ self.conv_time.bias  # type: ignore[operator]
        return nn.functional.conv1d(x_BCT, kernel_FCL, bias_F).unsqueeze(2)


NETWORKS: Final[Mapping[NetworkName, type[EEGNet | ShallowFBCSPNet]]] = OrderedDict(
    zip(get_args(NetworkName), (EEGNet, ShallowFBCSPNet), strict=True)
)
"""The networks by their names in recipes."""
