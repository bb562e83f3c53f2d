"""What a model is trained for: three small objects that the one loop (`labram.training.loop`) does not tell apart.

Shape letters: B windows, N channels, A seconds, L = N·A patches, K codes, n windows of a task.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from labram.models.downstream import DownstreamModel, prediction
from labram.models.masked import MaskedModel, random_mask
from labram.models.spectrum import spectral_targets
from labram.models.tokenizer import Tokenizer
from labram.recipe import AugmentRecipe
from labram.training.data.augment import augment
from labram.training.data.labelled import LabelledBatch
from labram.training.data.windows import WindowBatch
from labram.training.device import mixed_precision
from labram.training.distributed.process_group import Ranks
from labram.training.scores import score

Metrics = dict[str, Tensor]
AnyBatch = TypeVar("AnyBatch", bound=WindowBatch | LabelledBatch, contravariant=True)
CODES = "codes"
"""Name of the metric that counts how often each code occurs [K]."""
RESTARTED_BELOW = 0.1
"""A code used less often than this share of the mean is dead."""


class Objective(Protocol[AnyBatch]):
    """What the loop asks of an objective."""

    @property
    def model(self) -> nn.Module:
        """What is trained."""
        ...

    def loss(self, batch: AnyBatch, random: torch.Generator) -> tuple[Tensor, Metrics]:
        """Loss of one micro-batch, and its metrics without gradient.

        The loop averages metrics over micro-batches and steps, weighted as the loss is; each may have any fixed shape.
        `random` is a CPU generator of this micro-batch's own.
        """
        ...

    def summarise(self, means: Metrics) -> dict[str, float]:
        """Numbers to log, from averaged metrics."""
        ...

    @property
    def totals(self) -> Sequence[Tensor]:
        """What the losses of a step add up besides gradients; the loop sums it over all ranks, in place."""
        ...

    def after(self, step: int, batches: Sequence[AnyBatch]) -> None:
        """Called after each step (counted from 1) with this rank's micro-batches, when `totals` are those of all ranks.

        What it does must depend on these and on PyTorch's random state alone, and be the same on every rank. If the
        step turns out not to be finite, what it did to buffers is undone.
        """
        ...

    def validate(self, batches: Sequence[AnyBatch]) -> dict[str, float]:
        """Numbers to log about held-out windows; the loop has put the model into evaluation mode, without gradient."""
        ...


class _OnWindows(ABC):
    """What tokenizer and masked model have in common: means over batches, and counts of codes."""

    model: nn.Module

    @abstractmethod
    def loss(self, batch: WindowBatch, random: torch.Generator) -> tuple[Tensor, Metrics]:
        """See `Objective.loss`."""

    def summarise(self, means: Metrics) -> dict[str, float]:
        """Scalars as they are; see `code_figures` for the counts of codes."""
        counts = means.pop(CODES)
        return {name: float(value) for name, value in means.items()} | self.code_figures(counts)

    @property
    def totals(self) -> Sequence[Tensor]:
        """Nothing besides gradients."""
        return ()

    def after(self, step: int, batches: Sequence[WindowBatch]) -> None:
        """Nothing is to be done."""
        del step, batches

    @abstractmethod
    def code_figures(self, counts: Tensor) -> dict[str, float]:
        """Figures about the codes, from how often each occurs [K]."""

    def validate(self, batches: Sequence[WindowBatch]) -> dict[str, float]:
        """The same figures as in training, over all batches."""
        return self.summarise(weighted_mean(self._validated(batches)))

    def _validated(self, batches: Sequence[WindowBatch]) -> Iterable[tuple[float, Metrics]]:
        for index, batch in enumerate(batches):
            random = torch.Generator().manual_seed(index)
            yield batch.weight, self.loss(batch, random)[1]


class TokenizerObjective(_OnWindows):
    """Vector-quantised neural spectrum prediction (paper, section 2.2).

    Args:
        model: What is trained.
        restart_every: Steps between restarts of dead codes; 0: none, as published.
    """

    def __init__(self, model: Tokenizer, *, restart_every: int = 0) -> None:
        self.model: Tokenizer = model
        self.restart_every = restart_every
        model.quantizer.defer_updates()

    @torch.no_grad()
    def start(self, batches: Sequence[WindowBatch]) -> None:
        """Prepare a model that was never trained, from many windows of several montages.

        The codebook starts from k-means over all their patches; one batch, as published, would show
        it one montage only. The heads start from the mean spectrum, which is not published either: otherwise its
        gradient, the same for every patch, comes first and pulls all patches to one code.
        """
        self.model.eval()
        features = [self.model.features(*on_device(self.model, batch)).flatten(0, 1) for batch in batches]
        self.model.quantizer.initialise(functional.normalize(torch.cat(features), dim=-1))
        means = weighted_mean((batch.weight, self._mean_spectra(batch)) for batch in batches)
        for name, head in (("amplitude", self.model.amplitude_head), ("phase", self.model.phase_head)):
            last = head[-1]
            assert isinstance(last, nn.Linear)
            last.bias.copy_(means[name])

    @property
    def totals(self) -> Sequence[Tensor]:
        """What moves the codebook: once a step, whatever the number of micro-batches and ranks."""
        return self.model.quantizer.pending or ()

    @torch.no_grad()
    def after(self, step: int, batches: Sequence[WindowBatch]) -> None:
        """Move the codebook; every `restart_every` steps, put codes that are hardly used where there are vectors."""
        quantizer = self.model.quantizer
        quantizer.apply_updates()
        if not self.restart_every or step % self.restart_every:
            return
        dead_K = quantizer.usage < RESTARTED_BELOW * quantizer.usage.mean()
        quantizer.codebook.copy_(torch.where(dead_K.unsqueeze(1), self._vectors(batches), quantizer.codebook))
        quantizer.usage.copy_(torch.where(dead_K, quantizer.usage.mean(), quantizer.usage))

    def _vectors(self, batches: Sequence[WindowBatch]) -> Tensor:
        """A vector [K, C] of these patches for each code, from the step's micro-batches in turn, of whichever rank."""
        ranks, codebook_KC = Ranks.here(), self.model.quantizer.codebook
        turn_K = torch.arange(len(codebook_KC)) % (len(batches) * ranks.world)
        place_K = torch.rand(len(codebook_KC))
        chosen_KC = torch.zeros_like(codebook_KC)
        for index, batch in enumerate(batches):
            vectors_MC = functional.normalize(self.model.features(*on_device(self.model, batch)).flatten(0, 1), dim=-1)
            mine = torch.nonzero(turn_K == ranks.number(index)).flatten()
            chosen = (place_K[mine] * len(vectors_MC)).long()
            chosen_KC[mine.to(chosen_KC.device)] = vectors_MC[chosen.to(chosen_KC.device)]
        ranks.add_up([chosen_KC])
        return chosen_KC

    def loss(self, batch: WindowBatch, random: torch.Generator) -> tuple[Tensor, Metrics]:
        """See `Objective.loss`."""
        del random
        x_BNAT, rows_N = on_device(self.model, batch)
        with mixed_precision(x_BNAT.device):
            output = self.model(x_BNAT, rows_N)
        return output.loss, {
            "loss": output.loss.detach(),
            "amplitude_loss": output.amplitude_loss.detach(),
            "phase_loss": output.phase_loss.detach(),
            "commitment": output.commitment.detach(),
            CODES: _shares(output.codes, self.model.config.codes),
        }

    def code_figures(self, counts: Tensor) -> dict[str, float]:
        """Perplexity, codes that occur and codes that do not."""
        used = float((counts > 0).sum())
        return {"perplexity": perplexity(counts), "used_codes": used, "dead_codes": len(counts) - used}

    def validate(self, batches: Sequence[WindowBatch]) -> dict[str, float]:
        """As in training, and how the spectra compare with the best constant guess.

        `amplitude_vs_mean` and `phase_vs_mean` are the mean squared error of the reconstruction over that of answering
        every patch with the mean spectrum of all patches of its batch, that is of its montage. Below 1 is better.
        """
        figures = super().validate(batches)
        guesses = weighted_mean((batch.weight, self._mean_spectrum_losses(batch)) for batch in batches)
        for name, guess in guesses.items():
            figures[f"{name}_vs_mean"] = figures[f"{name}_loss"] / max(float(guess), 1e-12)
        return figures

    def _mean_spectrum_losses(self, batch: WindowBatch) -> Metrics:
        amplitude_BLF, phase_BLF = spectral_targets(on_device(self.model, batch)[0])
        return {
            name: target.var(dim=(0, 1), correction=0).mean()
            for name, target in (("amplitude", amplitude_BLF), ("phase", phase_BLF))
        }

    def _mean_spectra(self, batch: WindowBatch) -> Metrics:
        amplitude_BLF, phase_BLF = spectral_targets(on_device(self.model, batch)[0])
        return {"amplitude": amplitude_BLF.mean(dim=(0, 1)), "phase": phase_BLF.mean(dim=(0, 1))}


class MaskedObjective(_OnWindows):
    """Masked prediction of the frozen tokenizer's codes (paper, section 2.3).

    Args:
        model: What is trained.
        tokenizer: Gives the codes; stays as it is.
        mask_ratio: Share of patches that are hidden.
        symmetric: Predict the complement of each mask too.
    """

    def __init__(self, model: MaskedModel, tokenizer: Tokenizer, *, mask_ratio: float, symmetric: bool) -> None:
        self.model: MaskedModel = model
        self.tokenizer = tokenizer.eval()
        for parameter in tokenizer.parameters():
            parameter.requires_grad = False
        self.mask_ratio, self.symmetric = mask_ratio, symmetric

    def loss(self, batch: WindowBatch, random: torch.Generator) -> tuple[Tensor, Metrics]:
        """See `Objective.loss`."""
        x_BNAT, rows_N = on_device(self.model, batch)
        with mixed_precision(x_BNAT.device):
            codes_BL = self._codes(batch, x_BNAT, rows_N)
            mask_BL = random_mask(len(codes_BL), codes_BL.shape[1], self.mask_ratio, random).to(
                x_BNAT.device, non_blocking=True
            )
            output = self.model.loss(x_BNAT, rows_N, mask_BL, codes_BL, symmetric=self.symmetric)
        metrics = {
            "loss": output.loss.detach(),
            "accuracy": output.accuracy.detach(),
            CODES: _shares(codes_BL, self.model.config.codes),
        }
        if self.symmetric:
            metrics["accuracy_symmetric"] = output.accuracy_symmetric.detach()
        return output.loss, metrics

    def _codes(self, batch: WindowBatch, x_BNAT: Tensor, rows_N: Tensor) -> Tensor:
        if batch.codes is None:
            return self.tokenizer.encode(x_BNAT, rows_N)
        return moved(torch.from_numpy(batch.codes.astype(np.int64)), x_BNAT.device)

    def code_figures(self, counts: Tensor) -> dict[str, float]:
        """What can be had without looking at the signal.

        `majority` is the accuracy of always naming the commonest code, `target_entropy` (nats) the loss of always
        giving the codes' frequencies, for one of the two terms of a symmetric loss.
        """
        return {
            "majority": float(counts.max() / counts.sum()),
            "target_entropy": float(np.log(perplexity(counts))),
        }


class TaskObjective:
    """A labelled task: binary cross-entropy, label-smoothed cross-entropy, or squared error (paper, section 3.2).

    Args:
        model: What is trained.
        kind: ``binary``, ``multiclass`` or ``regression``.
        label_smoothing: For several classes.
        class_weights: Weight of each class in the loss; None: all 1.
        target_mean: Mean of each regression target over the training windows.
        target_sd: Its standard deviation; targets are standardised.
        augment: Variations of the training windows.
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
        self.target_mean, self.target_sd = np.asarray(target_mean), np.asarray(target_sd)

    def loss(self, batch: LabelledBatch, random: torch.Generator) -> tuple[Tensor, Metrics]:
        """See `Objective.loss`."""
        x_nNAT, rows_N = on_device(self.model, batch)
        output = self._output(augment(x_nNAT, self.augment, random), rows_N)
        loss = self._loss(output, batch)
        return loss, {"loss": loss.detach()}

    def summarise(self, means: Metrics) -> dict[str, float]:
        """See `Objective.summarise`."""
        return {name: float(value) for name, value in means.items()}

    @property
    def totals(self) -> Sequence[Tensor]:
        """Nothing besides gradients."""
        return ()

    def after(self, step: int, batches: Sequence[LabelledBatch]) -> None:
        """Nothing is to be done."""

    def validate(self, batches: Sequence[LabelledBatch]) -> dict[str, float]:
        """Loss, and all metrics of `labram.training.scores.score`, computed once over all windows."""
        outputs = [self._output(*on_device(self.model, batch)) for batch in batches]
        loss = weighted_mean(
            (batch.weight, {"loss": self._loss(output, batch)}) for batch, output in zip(batches, outputs, strict=True)
        )
        y = np.concatenate([batch.y for batch in batches])
        predictions = [prediction(output, self.kind, self.target_mean, self.target_sd) for output in outputs]
        return {"loss": float(loss["loss"])} | score(self.kind, y, np.concatenate(predictions))

    def _output(self, x_nNAT: Tensor, rows_N: Tensor) -> Tensor:
        with mixed_precision(x_nNAT.device):
            return self.model(x_nNAT, rows_N).float()  # type: ignore[no-any-return]

    def _loss(self, output: Tensor, batch: LabelledBatch) -> Tensor:
        if self.kind == "regression":
            standardised = (batch.y - self.target_mean) / self.target_sd
            return functional.mse_loss(output, torch.tensor(standardised, dtype=torch.float32, device=output.device))
        y_n = torch.tensor(batch.y, dtype=torch.int64, device=output.device)
        if self.kind == "binary":
            losses = functional.binary_cross_entropy_with_logits(output[:, 0], y_n.float(), reduction="none")
        else:
            losses = functional.cross_entropy(output, y_n, reduction="none", label_smoothing=self.label_smoothing)
        if self.class_weights is not None:
            losses = losses * self.class_weights.to(output.device)[y_n]
        return losses.mean()


def weighted_mean(parts: Iterable[tuple[float, Metrics]]) -> Metrics:
    """Mean of each metric over parts of different weight."""
    listed = list(parts)
    total = sum(weight for weight, _ in listed)
    return {name: value / total for name, value in weighted_sum(listed).items()}


def weighted_sum(parts: Iterable[tuple[float, Metrics]]) -> Metrics:
    """Sum of each metric over parts, each times its weight."""
    sums = dict[str, Any]()
    for weight, metrics in parts:
        for name, value in metrics.items():
            sums[name] = sums.get(name, 0.0) + weight * value
    return sums


def perplexity(counts: Tensor) -> float:
    """Exponential of the entropy of relative frequencies [K]: as many codes, used evenly, are as unpredictable."""
    shares = counts.double() / counts.sum()
    return float(torch.special.entr(shares).sum().exp())


def _shares(codes_BL: Tensor, codes: int) -> Tensor:
    """Relative frequency of each code [K]; unlike `bincount` it does not make the host wait."""
    ones = torch.ones(codes_BL.numel(), device=codes_BL.device)
    counts = torch.zeros(codes, device=codes_BL.device).index_add_(0, codes_BL.flatten(), ones)
    return counts / codes_BL.numel()


def on_device(model: nn.Module, batch: WindowBatch | LabelledBatch) -> tuple[Tensor, Tensor]:
    """Windows and spatial rows where the model is."""
    device = next(model.parameters()).device
    return moved(torch.from_numpy(batch.x), device), moved(torch.tensor(batch.rows), device)


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on a device, without waiting for it."""
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)
