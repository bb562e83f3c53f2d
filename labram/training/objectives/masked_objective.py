"""Masked prediction of the frozen tokenizer's codes: the backbone's objective (paper, section 2.3).

Shape letters: B windows, N channels, A seconds, L = N·A patches.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from labram.models.masked import MaskedModel, random_mask
from labram.models.tokenizer import Tokenizer
from labram.training.data.windows import WindowBatch
from labram.training.device import autocast
from labram.training.objectives.objective import (
    CODES,
    Metrics,
    WindowObjective,
    batch_to_device,
    code_frequencies,
    perplexity,
    tensor_to_device,
)


class MaskedObjective(WindowObjective):
    """Masked prediction of the tokenizer's codes.

    Args:
        model: The trained model.
        tokenizer: Source of the target codes; it is frozen.
        mask_ratio: Fraction of patches that are masked.
        symmetric: Also predict the patches of the complementary mask.
        probe: Returns further metrics of a validation, by name.
    """

    def __init__(
        self,
        model: MaskedModel,
        tokenizer: Tokenizer,
        *,
        mask_ratio: float,
        symmetric: bool,
        probe: Callable[[MaskedModel], dict[str, float]] | None = None,
    ) -> None:
        self.model: MaskedModel = model
        self.tokenizer = tokenizer.eval()
        for parameter in tokenizer.parameters():
            parameter.requires_grad = False
        self.mask_ratio, self.symmetric, self.probe = mask_ratio, symmetric, probe

    def loss(self, batch: WindowBatch, random: torch.Generator) -> tuple[Tensor, Metrics]:
        """Compute the loss, see `Objective.loss`."""
        x_BNAT, rows_N = batch_to_device(self.model, batch)
        with autocast(x_BNAT.device):
            codes_BL = self._codes(batch, x_BNAT, rows_N)
            mask_BL = random_mask(len(codes_BL), codes_BL.shape[1], self.mask_ratio, random).to(
                x_BNAT.device, non_blocking=True
            )
            output = self.model.loss(x_BNAT, rows_N, mask_BL, codes_BL, symmetric=self.symmetric)
        metrics = {
            "loss": output.loss.detach(),
            "accuracy": output.accuracy.detach(),
            CODES: code_frequencies(codes_BL, self.model.config.codes),
        }
        if self.symmetric:
            metrics["accuracy_symmetric"] = output.accuracy_symmetric.detach()
        return output.loss, metrics

    def validate(self, batches: Sequence[WindowBatch]) -> dict[str, float]:
        """Return the metrics of training, averaged over all batches, and those of the probe."""
        return super().validate(batches) | (self.probe(self.model) if self.probe else {})

    def _codes(self, batch: WindowBatch, x_BNAT: Tensor, rows_N: Tensor) -> Tensor:
        if batch.codes is None:
            return self.tokenizer.encode(x_BNAT, rows_N)
        return tensor_to_device(torch.from_numpy(batch.codes.astype(np.int64)), x_BNAT.device)

    def code_metrics(self, frequencies: Tensor) -> dict[str, float]:
        """Return baselines that ignore the signal.

        `majority` is the accuracy of always predicting the most frequent code. `target_entropy` (nats) is the loss of
        always predicting the code frequencies, for one of the two terms of a symmetric loss.
        """
        return {
            "majority": float(frequencies.max() / frequencies.sum()),
            "target_entropy": float(np.log(perplexity(frequencies))),
        }
