"""Objective of a labelled task: cross-entropy or squared error (paper, section 3.2).

Shape letters: n windows, N channels, A seconds, K classes, M regression targets.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from labram.metrics import scores
from labram.models.downstream import DownstreamModel, prediction
from labram.recipe import AugmentRecipe
from labram.training.data.augment import augment
from labram.training.data.labelled import LabelledBatch
from labram.training.device import autocast
from labram.training.objectives.objective import Metrics, batch_to_device, weighted_mean


class TaskObjective:
    """Binary cross-entropy, label-smoothed cross-entropy, or mean squared error of standardised targets.

    Args:
        model: The trained model.
        kind: ``binary``, ``multiclass`` or ``regression``.
        label_smoothing: Label smoothing, for ``multiclass``.
        class_weights: Weight of each class in the loss; None: all 1.
        target_mean: Mean of each regression target over the training windows.
        target_sd: Standard deviation of each regression target.
        augment: Augmentation of the training windows.
    """

    def __init__(
        self,
        model: DownstreamModel,
        kind: str,
        *,
        label_smoothing: float = 0.0,
        class_weights: npt.NDArray[np.float64] | None = None,
        target_mean: Sequence[float] = (),
        target_sd: Sequence[float] = (),
        augment: AugmentRecipe | None = None,
    ) -> None:
        self.model: DownstreamModel = model
        self.augment = augment or AugmentRecipe()
        self.kind = kind
        self.label_smoothing = label_smoothing if kind == "multiclass" else 0.0
        self.class_weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.target_mean, self.target_sd = tuple(target_mean), tuple(target_sd)

    def loss(self, batch: LabelledBatch, random: torch.Generator) -> tuple[Tensor, Metrics]:
        """Compute the loss, see `Objective.loss`."""
        x_nNAT, rows_N = batch_to_device(self.model, batch)
        output = self._output(augment(x_nNAT, self.augment, random), rows_N)
        loss = self._loss(output, batch)
        return loss, {"loss": loss.detach()}

    def summarise(self, means: Metrics) -> dict[str, float]:
        """Convert the metrics to numbers."""
        return {name: float(value) for name, value in means.items()}

    @property
    def step_statistics(self) -> Sequence[Tensor]:
        """No tensors besides gradients."""
        return ()

    def after_step(self, step: int, batches: Sequence[LabelledBatch]) -> None:
        """Do nothing."""

    def validate(self, batches: Sequence[LabelledBatch]) -> dict[str, float]:
        """Return the loss, and the metrics of the task's kind, computed once over all windows."""
        outputs = [self._output(*batch_to_device(self.model, batch)) for batch in batches]
        loss = weighted_mean(
            (batch.weight, {"loss": self._loss(output, batch)}) for batch, output in zip(batches, outputs, strict=True)
        )
        y = np.concatenate([batch.y for batch in batches])
        predictions = [prediction(output, self.kind, self.target_mean, self.target_sd) for output in outputs]
        return {"loss": float(loss["loss"])} | scores(self.kind, y, np.concatenate(predictions))

    def _output(self, x_nNAT: Tensor, rows_N: Tensor) -> Tensor:
        with autocast(x_nNAT.device):
            return self.model(x_nNAT, rows_N).float()  # type: ignore[no-any-return]

    def _loss(self, output: Tensor, batch: LabelledBatch) -> Tensor:
        if self.kind == "regression":
            standardised = (batch.y - np.asarray(self.target_mean)) / np.asarray(self.target_sd)
            return functional.mse_loss(output, torch.tensor(standardised, dtype=torch.float32, device=output.device))
        y_n = torch.tensor(batch.y, dtype=torch.int64, device=output.device)
        if self.kind == "binary":
            losses = functional.binary_cross_entropy_with_logits(output[:, 0], y_n.float(), reduction="none")
        else:
            losses = functional.cross_entropy(output, y_n, reduction="none", label_smoothing=self.label_smoothing)
        if self.class_weights is not None:
            losses = losses * self.class_weights.to(output.device)[y_n]
        return losses.mean()
