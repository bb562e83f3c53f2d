"""Neural codebook: nearest neighbour on the unit sphere, learned by exponential moving averages (paper, section 2.2).

Always computed in float32: in bfloat16, one code in forty would change. Shape letters: `config`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from labram.models.config import Compatibility
from labram.models.onednn_linear import matmul_transposed

KMEANS_ITERATIONS = 10
SCORES_PER_CHUNK = 2**21
"""8 MiB of the distance matrix, which stay in the processor's cache."""


@dataclass(frozen=True)
class Quantized:
    """Vectors [B, L, C] with straight-through gradient, their codes [B, L] and the commitment loss."""

    vectors: Tensor
    codes: Tensor
    commitment: Tensor


class Quantizer(nn.Module):
    """Codebook of K unit vectors, held in buffers because no gradient reaches it.

    Attributes:
        codebook: [K, C], rows of unit length.
        usage: [K], moving average of the number of vectors assigned to each code in training; 0: never assigned.
        initialised: Whether k-means has set the codebook, as 0 or 1.
        pending: Counts [K] and sums [K, C] of the vectors assigned to each code since `defer_updates`; None if each
            forward pass in training updates the codebook.
    """

    codebook: Tensor
    usage: Tensor
    initialised: Tensor

    def __init__(self, codes: int, width: int, *, decay: float, compatibility: Compatibility) -> None:
        super().__init__()
        self.decay = decay
        self.compatibility = compatibility
        self.register_buffer("codebook", functional.normalize(torch.randn(codes, width), dim=-1))
        self.register_buffer("usage", torch.zeros(codes))
        self.register_buffer("initialised", torch.zeros(1))
        self._is_initialised = False
        self.pending: tuple[Tensor, Tensor] | None = None
        self.register_load_state_dict_post_hook(_cache_initialised)

    def forward(self, features_BLC: Tensor) -> Quantized:
        """Replace each vector by its nearest code (equation 6); in training, then update the codebook."""
        with torch.autocast(features_BLC.device.type, enabled=False):
            z_BLC = functional.normalize(features_BLC.float(), dim=-1)
            if self.training and not self._is_initialised:
                self.initialise(z_BLC.detach().flatten(0, 1))
            codes_BL = self.nearest(z_BLC)
            chosen_BLC = self.codebook[codes_BL]
            commitment = functional.mse_loss(z_BLC, chosen_BLC)
            vectors_BLC = z_BLC + (chosen_BLC - z_BLC).detach()
            if self.training or self.compatibility == "published":
                self._record(z_BLC.detach().flatten(0, 1), codes_BL.flatten())
            return Quantized(vectors_BLC, codes_BL, commitment)

    @torch.no_grad()
    def nearest(self, z: Tensor) -> Tensor:
        """Return the code with the smallest Euclidean distance to each unit vector: [..., C] to int64 [...]."""
        half_squares_K = self.codebook.square().sum(-1) / 2
        z_MC = z.reshape(-1, z.shape[-1])
        chunks = z_MC.split(max(1, SCORES_PER_CHUNK // len(self.codebook)))
        codes = [matmul_transposed(chunk, self.codebook, -half_squares_K).max(-1).indices for chunk in chunks]
        return torch.cat(codes).view(z.shape[:-1])

    @torch.no_grad()
    def initialise(self, z_MC: Tensor) -> None:
        """Set the codebook by k-means over these unit vectors; all ranks receive the codebook of rank 0."""
        self.codebook.copy_(spherical_kmeans(z_MC, len(self.codebook))[0])
        if distributed.is_available() and distributed.is_initialized():
            distributed.broadcast(self.codebook, src=0)
        self.initialised.fill_(1.0)
        self._is_initialised = True

    def defer_updates(self) -> None:
        """Accumulate the updates of forward passes until `apply_updates`."""
        self.pending = torch.zeros_like(self.usage), torch.zeros_like(self.codebook)

    def apply_updates(self) -> None:
        """Update the codebook by the pending counts and sums, and reset them."""
        assert self.pending is not None
        self._update(*self.pending)
        self.defer_updates()

    @torch.no_grad()
    def _record(self, z_MC: Tensor, codes_M: Tensor) -> None:
        """Add these vectors to the pending updates, or update the codebook by the vectors of all ranks."""
        counts_K = count_codes(codes_M, len(self.codebook))
        sums_KC = torch.zeros_like(self.codebook).index_add_(0, codes_M, z_MC)
        if self.pending is not None:
            self.pending[0].add_(counts_K)
            self.pending[1].add_(sums_KC)
            return
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(counts_K)
            distributed.all_reduce(sums_KC)
        self._update(counts_K, sums_KC)

    @torch.no_grad()
    def _update(self, counts_K: Tensor, sums_KC: Tensor) -> None:
        """Move each code towards the mean of its vectors by an exponential moving average."""
        self.usage.lerp_(counts_K, 1.0 - self.decay)
        if not self.training:
            return
        assigned_K1 = (counts_K > 0).unsqueeze(1)
        means_KC = functional.normalize(sums_KC / counts_K.clamp_min(1.0).unsqueeze(1), dim=-1)
        moved_KC = torch.where(assigned_K1, means_KC, self.codebook)
        averaged_KC = self.decay * self.codebook + (1.0 - self.decay) * moved_KC
        self.codebook.copy_(functional.normalize(averaged_KC, dim=-1))


def count_codes(codes: Tensor, size: int) -> Tensor:
    """Return the count of each code, float32 [K]; unlike `bincount`, without synchronising the device."""
    counts_K = torch.zeros(size, device=codes.device)
    return counts_K.index_add_(0, codes.flatten(), torch.ones_like(codes.flatten(), dtype=torch.float32))


def spherical_kmeans(z_MC: Tensor, codes: int) -> tuple[Tensor, Tensor]:
    """Cluster unit vectors by k-means on their dot products in ten iterations; empty clusters keep their mean.

    Starts from a random sample of the vectors, with replacement if there are fewer vectors than codes.

    Returns:
        Unit means [K, C] and the number of vectors in each cluster [K].
    """
    count = len(z_MC)
    start_K = torch.randperm(count)[:codes] if count >= codes else torch.randint(0, count, (codes,))
    means_KC = z_MC[start_K.to(z_MC.device)]
    counts_K = z_MC.new_zeros(codes)
    for _ in range(KMEANS_ITERATIONS):
        chunks = z_MC.split(max(1, SCORES_PER_CHUNK // codes))
        nearest_M = torch.cat([matmul_transposed(chunk, means_KC).max(-1).indices for chunk in chunks])
        counts_K = count_codes(nearest_M, codes)
        sums_KC = torch.zeros_like(means_KC).index_add_(0, nearest_M, z_MC)
        new_KC = functional.normalize(sums_KC / counts_K.clamp_min(1.0).unsqueeze(1), dim=-1)
        means_KC = torch.where((counts_K > 0).unsqueeze(1), new_KC, means_KC)
    return means_KC, counts_K


def _cache_initialised(quantizer: nn.Module, _: object) -> None:
    """Read the flag once after loading; reading it in every step would synchronise the device."""
    assert isinstance(quantizer, Quantizer)
    quantizer._is_initialised = bool(quantizer.initialised.item())
