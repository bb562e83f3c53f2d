"""Codebook usage and reconstruction examples on the validation windows, for gates and reports; collapse warnings."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from labram import checksums
from labram.events import Monitor
from labram.input_spec import PATCH_SAMPLES
from labram.models.tokenizer import Tokenizer
from labram.training.data.windows import WindowBatch
from labram.training.objectives.objective import batch_to_device, perplexity
from labram.training.output_files import CODEBOOK_FILE, EXAMPLES_FILE

EXAMPLES = 6
FREQUENCY_BINS = PATCH_SAMPLES // 2 + 1
"""Frequency bins from 0 to 100 Hz, 1 Hz apart; the rest of the spectrum mirrors them."""


@torch.no_grad()
def write_codebook_usage(model: Tokenizer, batches: Sequence[WindowBatch], out: Path) -> None:
    """Write ``codebook.json``: count of each code, number of used codes and perplexity, overall and by dataset."""
    counts: dict[str, Tensor] = defaultdict(lambda: torch.zeros(model.config.codes, dtype=torch.int64))
    for batch in batches:
        codes_BL = model.encode(*batch_to_device(model, batch)).cpu()
        for recording_id, codes_L in zip(batch.recording_ids, codes_BL, strict=True):
            dataset = recording_id.rpartition("-")[0]
            counts[dataset] += torch.bincount(codes_L, minlength=model.config.codes)
    total = torch.stack(list(counts.values())).sum(0)
    usage = {
        "codes": model.config.codes,
        **_usage(total),
        "counts": total.tolist(),
        "datasets": {name: _usage(counts[name]) for name in sorted(counts)},
    }
    out.mkdir(parents=True, exist_ok=True)
    checksums.write_json(out / CODEBOOK_FILE, usage)


def _usage(counts: Tensor) -> dict[str, float]:
    return {"used": int((counts > 0).sum()), "perplexity": perplexity(counts), "patches": int(counts.sum())}


@torch.no_grad()
def write_spectrum_examples(model: Tokenizer, batches: Sequence[WindowBatch], out: Path) -> None:
    """Write ``examples.npz``: amplitude spectra of some patches and their reconstructions from codes.

    Arrays: `original` and `reconstructed` [P, F], z-scored like the training targets; `frequencies` [F] in Hz; `names`
    [P] with electrode and number of channels. Patches are taken from the batches in turn, to include every montage.
    """
    originals, reconstructions, names = [], [], []
    for index in range(EXAMPLES):
        batch = batches[index % len(batches)]
        x_BNAT, rows_N = batch_to_device(model, batch)
        windows, channels, seconds = batch.x.shape[:3]
        window, channel = index % windows, (index * channels) // EXAMPLES
        spectra = model.reconstruct(x_BNAT[window : window + 1], rows_N)
        patch = channel * seconds
        originals.append(spectra.amplitude_target[0, patch, :FREQUENCY_BINS].float().cpu().numpy())
        reconstructions.append(spectra.amplitude[0, patch, :FREQUENCY_BINS].float().cpu().numpy())
        names.append(f"{batch.montage[channel]} of {channels} channels")
    np.savez(
        out / EXAMPLES_FILE,
        original=np.stack(originals),
        reconstructed=np.stack(reconstructions),
        frequencies=np.arange(FREQUENCY_BINS, dtype=np.float32),
        names=np.array(names),
    )


class CodebookMonitor:
    """A `Monitor` that forwards everything and adds one note if the codebook is collapsing.

    Args:
        monitor: Receives everything.
        min_perplexity: Perplexity on validation windows that the training must reach at its end.
    """

    def __init__(self, monitor: Monitor, min_perplexity: float) -> None:
        self.monitor, self.min_perplexity, self.warned = monitor, min_perplexity, False
        self.progress, self.note = monitor.progress, monitor.note

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Forward metrics, see `labram.events.Monitor.metrics`."""
        self.monitor.metrics(step, values)
        measured = values.get("validation/perplexity", self.min_perplexity)
        if not measured >= self.min_perplexity and not self.warned:
            self.warned = True
            self.note(
                f"after step {step} the codebook's validation perplexity is {measured:.2f}; it must reach "
                f"tokenizer.min_perplexity, {self.min_perplexity:g}, by the end of training"
            )
