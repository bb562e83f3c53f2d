"""The `Objective` protocol that the training loop calls, and weighted averages of metrics.

Shape letters: B windows, N channels, A seconds, L = N·A patches, K codes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from labram.models.quantizer import count_codes
from labram.training.data.labelled import LabelledBatch
from labram.training.data.windows import WindowBatch

Metrics = dict[str, Tensor]
AnyBatch = TypeVar("AnyBatch", bound=WindowBatch | LabelledBatch, contravariant=True)
CODES = "codes"
"""Name of the metric with the relative frequency of each code [K]."""


class Objective(Protocol[AnyBatch]):
    """A model with its loss, its metrics and its validation."""

    @property
    def model(self) -> nn.Module:
        """The trained model."""
        ...

    def loss(self, batch: AnyBatch, random: torch.Generator) -> tuple[Tensor, Metrics]:
        """Return the loss of one micro-batch, and its detached metrics, each of a fixed shape.

        The loop averages metrics over micro-batches and steps with the weights of the loss.

        Args:
            batch: The micro-batch.
            random: CPU generator, seeded for this micro-batch.
        """
        ...

    def summarise(self, means: Metrics) -> dict[str, float]:
        """Return the numbers to log, from averaged metrics."""
        ...

    @property
    def step_statistics(self) -> Sequence[Tensor]:
        """Tensors, besides gradients, that the losses of a step accumulate; the loop sums them over all ranks."""
        ...

    def after_step(self, step: int, batches: Sequence[AnyBatch]) -> None:
        """Update buffers after an optimiser step, once `step_statistics` are summed over all ranks.

        The update must be the same on every rank: a function of the arguments and of PyTorch's random state. The loop
        undoes changes to buffers if the step was not finite.

        Args:
            step: Number of the step, counted from 1.
            batches: This rank's micro-batches.
        """
        ...

    def validate(self, batches: Sequence[AnyBatch]) -> dict[str, float]:
        """Return metrics of held-out windows. The loop sets evaluation mode and disables gradients."""
        ...


class WindowObjective(ABC):
    """Base of the self-supervised objectives: metrics averaged over batches, and code frequencies."""

    model: nn.Module

    @abstractmethod
    def loss(self, batch: WindowBatch, random: torch.Generator) -> tuple[Tensor, Metrics]:
        """Compute the loss, see `Objective.loss`."""

    def summarise(self, means: Metrics) -> dict[str, float]:
        """Convert scalar metrics to numbers and code frequencies to `code_metrics`."""
        frequencies = means.pop(CODES)
        return {name: float(value) for name, value in means.items()} | self.code_metrics(frequencies)

    @property
    def step_statistics(self) -> Sequence[Tensor]:
        """No tensors besides gradients."""
        return ()

    def after_step(self, step: int, batches: Sequence[WindowBatch]) -> None:
        """Do nothing."""
        del step, batches

    @abstractmethod
    def code_metrics(self, frequencies: Tensor) -> dict[str, float]:
        """Return metrics of the relative code frequencies [K]."""

    def validate(self, batches: Sequence[WindowBatch]) -> dict[str, float]:
        """Return the metrics of training, averaged over all batches."""
        return self.summarise(weighted_mean(self._weighted_metrics(batches)))

    def _weighted_metrics(self, batches: Sequence[WindowBatch]) -> Iterable[tuple[float, Metrics]]:
        for index, batch in enumerate(batches):
            random = torch.Generator().manual_seed(index)
            yield batch.weight, self.loss(batch, random)[1]


def weighted_mean(parts: Iterable[tuple[float, Metrics]]) -> Metrics:
    """Return the weighted mean of each metric over pairs of weight and metrics."""
    pairs = list(parts)
    total = sum(weight for weight, _ in pairs)
    return {name: value / total for name, value in weighted_sum(pairs).items()}


def weighted_sum(parts: Iterable[tuple[float, Metrics]]) -> Metrics:
    """Return the weighted sum of each metric over pairs of weight and metrics."""
    sums = dict[str, Any]()
    for weight, metrics in parts:
        for name, value in metrics.items():
            sums[name] = sums.get(name, 0.0) + weight * value
    return sums


def perplexity(counts: Tensor) -> float:
    """Return the exponential of the entropy of the relative frequencies of codes [K]."""
    frequencies = counts.double() / counts.sum()
    return float(torch.special.entr(frequencies).sum().exp())


def code_frequencies(codes_BL: Tensor, codes: int) -> Tensor:
    """Return the relative frequency of each code [K]."""
    return count_codes(codes_BL, codes) / codes_BL.numel()


def batch_to_device(model: nn.Module, batch: WindowBatch | LabelledBatch) -> tuple[Tensor, Tensor]:
    """Return windows [B, N, A, 200] and spatial rows [N] on the model's device."""
    device = next(model.parameters()).device
    return tensor_to_device(torch.from_numpy(batch.x), device), tensor_to_device(torch.tensor(batch.rows), device)


def tensor_to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to a device, without waiting for the copy."""
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)
