"""What a codebook looks like on the validation windows: for gates and reports, and while it is trained."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from labram.events import Monitor
from labram.input_spec import PATCH_SAMPLES
from labram.models.tokenizer import Tokenizer
from labram.training.data.windows import WindowBatch
from labram.training.objectives import on_device, perplexity

EXAMPLES = 6
BINS = PATCH_SAMPLES // 2 + 1
"""Bins from 0 to 100 Hz, 1 Hz apart; the rest of the spectrum mirrors them."""


@torch.no_grad()
def write_codebook(model: Tokenizer, batches: Sequence[WindowBatch], out: Path) -> None:
    """Write ``codebook.json``: how often each code is used, how many are, their perplexity; the same by dataset."""
    counts: dict[str, Tensor] = defaultdict(lambda: torch.zeros(model.config.codes, dtype=torch.int64))
    for batch in batches:
        for recording, codes_L in zip(batch.recording_ids, model.encode(*on_device(model, batch)).cpu(), strict=True):
            dataset = recording.rpartition("-")[0]
            counts[dataset] += torch.bincount(codes_L, minlength=model.config.codes)
    total = torch.stack(list(counts.values())).sum(0)
    figures = {
        "codes": model.config.codes,
        **_usage(total),
        "counts": total.tolist(),
        "datasets": {name: _usage(counts[name]) for name in sorted(counts)},
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "codebook.json").write_text(json.dumps(figures) + "\n")


def _usage(counts: Tensor) -> dict[str, float]:
    return {"used": int((counts > 0).sum()), "perplexity": perplexity(counts), "patches": int(counts.sum())}


@torch.no_grad()
def write_examples(model: Tokenizer, batches: Sequence[WindowBatch], out: Path) -> None:
    """Write ``examples.npz``: amplitude spectra of some patches and what the tokenizer gives back from their codes.

    `original` and `reconstructed` are z-scored as the target is, [P, F]; `frequencies` [F] in Hz; `names` [P] say
    which electrode of how many. One patch a batch in turn, so that every montage is shown.
    """
    originals, reconstructions, names = [], [], []
    for index in range(EXAMPLES):
        batch = batches[index % len(batches)]
        x_BNAT, rows_N = on_device(model, batch)
        windows, channels, seconds = batch.x.shape[:3]
        window, channel = index % windows, (index * channels) // EXAMPLES
        spectra = model.reconstruct(x_BNAT[window : window + 1], rows_N)
        patch = channel * seconds
        originals.append(spectra.amplitude_target[0, patch, :BINS].float().cpu().numpy())
        reconstructions.append(spectra.amplitude[0, patch, :BINS].float().cpu().numpy())
        names.append(f"{batch.montage[channel]} of {channels} channels")
    np.savez(
        out / "examples.npz",
        original=np.stack(originals),
        reconstructed=np.stack(reconstructions),
        frequencies=np.arange(BINS, dtype=np.float32),
        names=np.array(names),
    )


class Watch:
    """Listens to a tokenizer's training for somebody else, and says once that the codebook is collapsing.

    Args:
        monitor: Is told everything.
        least: Perplexity on validation windows that the training must have reached at its end.
    """

    def __init__(self, monitor: Monitor, least: float) -> None:
        self.monitor, self.least, self.told = monitor, least, False
        self.progress, self.note = monitor.progress, monitor.note

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """See `labram.events.Monitor.metrics`."""
        self.monitor.metrics(step, values)
        found = values.get("validation/perplexity", self.least)
        if found < self.least and not self.told:
            self.told = True
            self.note(
                f"after step {step} the codebook's perplexity is {found:.2f} on validation windows; below "
                f"tokenizer.min_perplexity, {self.least:g}, it fails at the end. It may recover: see the curve"
            )
