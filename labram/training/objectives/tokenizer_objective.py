"""Vector-quantised neural spectrum prediction: the tokenizer's objective (paper, section 2.2).

Shape letters: B windows, N channels, A seconds, L = N·A patches, F frequencies, K codes, C code width, M vectors.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from labram.models.spectrum import spectral_targets
from labram.models.tokenizer import Tokenizer
from labram.training.data.windows import WindowBatch
from labram.training.device import autocast
from labram.training.distributed.process_group import ProcessGroup
from labram.training.objectives.objective import (
    CODES,
    Metrics,
    WindowObjective,
    batch_to_device,
    code_frequencies,
    perplexity,
    weighted_mean,
)

DEAD_CODE_RATIO = 0.1
"""A code is dead if its usage is less than this fraction of the mean usage."""


class TokenizerObjective(WindowObjective):
    """Vector-quantised neural spectrum prediction.

    Args:
        model: The trained tokenizer.
        restart_every: Steps between restarts of dead codes; 0: none, as published.
    """

    def __init__(self, model: Tokenizer, *, restart_every: int = 0) -> None:
        self.model: Tokenizer = model
        self.restart_every = restart_every
        model.quantizer.defer_updates()

    @torch.no_grad()
    def initialise(self, batches: Sequence[WindowBatch]) -> None:
        """Initialise codebook and heads of an untrained model from many windows of several montages.

        The codebook starts from k-means over all patches; the published code uses one batch, which has one montage. The
        heads' biases start from the mean spectrum. That is not published either: otherwise its gradient, equal for all
        patches, dominates the first steps and pulls all patches to one code.
        """
        self.model.eval()
        features = [self.model.features(*batch_to_device(self.model, batch)).flatten(0, 1) for batch in batches]
        self.model.quantizer.initialise(functional.normalize(torch.cat(features), dim=-1))
        means = weighted_mean((batch.weight, self._mean_spectra(batch)) for batch in batches)
        for name, head in (("amplitude", self.model.amplitude_head), ("phase", self.model.phase_head)):
            last_layer = head[-1]
            assert isinstance(last_layer, nn.Linear)
            last_layer.bias.copy_(means[name])

    @property
    def step_statistics(self) -> Sequence[Tensor]:
        """Statistics that update the codebook once a step, for any number of micro-batches and ranks."""
        return self.model.quantizer.pending or ()

    @torch.no_grad()
    def after_step(self, step: int, batches: Sequence[WindowBatch]) -> None:
        """Update the codebook; every `restart_every` steps, reset dead codes to patch vectors of this step."""
        quantizer = self.model.quantizer
        quantizer.apply_updates()
        if not self.restart_every or step % self.restart_every:
            return
        dead_K = quantizer.usage < DEAD_CODE_RATIO * quantizer.usage.mean()
        quantizer.codebook.copy_(torch.where(dead_K.unsqueeze(1), self._sample_vectors(batches), quantizer.codebook))
        quantizer.usage.copy_(torch.where(dead_K, quantizer.usage.mean(), quantizer.usage))

    def _sample_vectors(self, batches: Sequence[WindowBatch]) -> Tensor:
        """Return a random patch vector per code [K, C], drawn from the step's micro-batches of all ranks in turn."""
        group, codebook_KC = ProcessGroup.current(), self.model.quantizer.codebook
        micro_batch_K = torch.arange(len(codebook_KC)) % (len(batches) * group.world_size)
        uniform_K = torch.rand(len(codebook_KC))
        sampled_KC = torch.zeros_like(codebook_KC)
        for index, batch in enumerate(batches):
            features_BLC = self.model.features(*batch_to_device(self.model, batch))
            vectors_MC = functional.normalize(features_BLC.flatten(0, 1), dim=-1)
            codes = torch.nonzero(micro_batch_K == group.global_index(index)).flatten()
            rows = (uniform_K[codes] * len(vectors_MC)).long()
            sampled_KC[codes.to(sampled_KC.device)] = vectors_MC[rows.to(sampled_KC.device)]
        group.all_reduce([sampled_KC])
        return sampled_KC

    def loss(self, batch: WindowBatch, random: torch.Generator) -> tuple[Tensor, Metrics]:
        """Compute the loss, see `Objective.loss`."""
        del random
        x_BNAT, rows_N = batch_to_device(self.model, batch)
        with autocast(x_BNAT.device):
            output = self.model(x_BNAT, rows_N)
        return output.loss, {
            "loss": output.loss.detach(),
            "amplitude_loss": output.amplitude_loss.detach(),
            "phase_loss": output.phase_loss.detach(),
            "commitment": output.commitment.detach(),
            CODES: code_frequencies(output.codes, self.model.config.codes),
        }

    def code_metrics(self, frequencies: Tensor) -> dict[str, float]:
        """Return the perplexity, and the numbers of used and unused codes."""
        used = float((frequencies > 0).sum())
        return {"perplexity": perplexity(frequencies), "used_codes": used, "dead_codes": len(frequencies) - used}

    def validate(self, batches: Sequence[WindowBatch]) -> dict[str, float]:
        """Return the metrics of training, and reconstruction errors relative to a constant baseline.

        `amplitude_vs_mean` and `phase_vs_mean` are mean squared errors, divided by that of predicting the mean spectrum
        of the batch, and thus of its montage, for every patch. Below 1 is better than the baseline.
        """
        metrics = super().validate(batches)
        baselines = weighted_mean((batch.weight, self._mean_spectrum_losses(batch)) for batch in batches)
        for name, baseline in baselines.items():
            metrics[f"{name}_vs_mean"] = metrics[f"{name}_loss"] / max(float(baseline), 1e-12)
        return metrics

    def _mean_spectrum_losses(self, batch: WindowBatch) -> Metrics:
        amplitude_BLF, phase_BLF = spectral_targets(batch_to_device(self.model, batch)[0])
        return {
            name: target.var(dim=(0, 1), correction=0).mean()
            for name, target in (("amplitude", amplitude_BLF), ("phase", phase_BLF))
        }

    def _mean_spectra(self, batch: WindowBatch) -> Metrics:
        amplitude_BLF, phase_BLF = spectral_targets(batch_to_device(self.model, batch)[0])
        return {"amplitude": amplitude_BLF.mean(dim=(0, 1)), "phase": phase_BLF.mean(dim=(0, 1))}
