"""Poolings of patch tokens that the published model does not have, for the heads of fine-tuned models.

Shape letters: see `labram.models.config`; R projections.
"""

import math

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from labram.models.config import ROWS, Pooling

PROJECTIONS = 16
"""Directions whose covariance over the patches the covariance pool takes."""
SHRINKAGE = 0.05
"""Weight of a multiple of the identity in it, so that its logarithm is smooth."""
SMALLEST_VARIANCE = 1e-5


class ChannelPool(nn.Module):
    """The mean over seconds of each channel, at the place of its electrode: absent electrodes have zeros."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = ROWS * width

    def forward(self, patches_BLD: Tensor, rows_N: Tensor) -> Tensor:
        """Return one vector per window, [B, ROWS · D]."""
        means_BND = patches_BLD.unflatten(1, (len(rows_N), -1)).mean(2)
        placed = means_BND.new_zeros(len(means_BND), ROWS, means_BND.shape[-1])
        flat: Tensor = placed.index_copy(1, rows_N, means_BND).flatten(1)
        return flat


class AttentionPool(nn.Module):
    """A mean over the patches with weights by a learned query; at first all weights are equal."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.query = nn.Parameter(torch.zeros(width))

    def forward(self, patches_BLD: Tensor, rows_N: Tensor) -> Tensor:
        """Return one vector per window, [B, D]."""
        del rows_N
        weights_BL = (patches_BLD @ self.query / math.sqrt(self.width)).softmax(dim=1)
        return (weights_BL.unsqueeze(-1) * patches_BLD).sum(1)


class CovariancePool(nn.Module):
    """The mean patch, and the matrix logarithm of the covariance of learned projections over the patches.

    A Riemannian (log-Euclidean) pooling, as of SPDNet (Huang et al., AAAI 2017).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width + PROJECTIONS * (PROJECTIONS + 1) // 2
        self.projection = nn.Linear(width, PROJECTIONS, bias=False)
        nn.init.orthogonal_(self.projection.weight)

    def forward(self, patches_BLD: Tensor, rows_N: Tensor) -> Tensor:
        """Return one vector per window, [B, D + R (R + 1) / 2]."""
        del rows_N
        with torch.autocast(patches_BLD.device.type, enabled=False):
            x_BLR = self.projection(patches_BLD.float())
            x_BLR = x_BLR - x_BLR.mean(1, keepdim=True)
            covariance = x_BLR.mT @ x_BLR / x_BLR.shape[1]
            identity = torch.eye(PROJECTIONS, device=covariance.device)
            mean_variance = covariance.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
            shrunk = (1 - SHRINKAGE) * covariance + (SHRINKAGE * mean_variance + SMALLEST_VARIANCE) * identity
            logarithm = MatrixLogarithm.apply(shrunk)
            rows, columns = torch.triu_indices(PROJECTIONS, PROJECTIONS, device=covariance.device)
            scale = torch.where(rows == columns, 1.0, math.sqrt(2.0))
            return torch.cat([patches_BLD.float().mean(1), logarithm[:, rows, columns] * scale], dim=1)


class MatrixLogarithm(torch.autograd.Function):
    """Logarithm of symmetric positive definite matrices, with a gradient that is finite for equal eigenvalues.

    Daleckii-Krein: the gradient is that of the eigenvectors' frame times the divided differences of the logarithm.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, matrices: Tensor) -> Tensor:
        """Return the logarithms [B, R, R]."""
        values, vectors = torch.linalg.eigh(matrices)
        ctx.save_for_backward(values, vectors)
        logarithm: Tensor = (vectors * values.log().unsqueeze(-2)) @ vectors.mT
        return logarithm

    @staticmethod
    @once_differentiable
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        """Return the gradient with respect to the matrices [B, R, R]."""
        values, vectors = ctx.saved_tensors  # type: ignore[attr-defined]
        one, other = values.unsqueeze(-1), values.unsqueeze(-2)
        mean, difference = (one + other) / 2, one - other
        close = difference.abs() < 1e-3 * mean
        ratios = torch.where(close, 1 / mean, (one.log() - other.log()) / torch.where(close, 1.0, difference))
        inner = vectors.mT @ ((gradient + gradient.mT) / 2) @ vectors
        outer: Tensor = vectors @ (ratios * inner) @ vectors.mT
        return outer


Pool = ChannelPool | AttentionPool | CovariancePool


def pool_of(pooling: Pooling, width: int) -> Pool | None:
    """Return the pool of that name; None for those of the published model."""
    kinds: dict[Pooling, type[Pool]] = {
        "channels": ChannelPool,
        "attention": AttentionPool,
        "covariance": CovariancePool,
    }
    return kinds[pooling](width) if pooling in kinds else None
