"""Probes as validation of pre-training: what a linear model of the representation finds on held-out subjects.

The loss of masked prediction can fall while downstream scores fall too. Every score stands beside that of the initial
weights, which are random.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from labram.corpus.catalogue import Corpus, Split
from labram.errors import LabelError
from labram.linear import model as linear
from labram.linear.model import DEFAULT_PENALTY, LinearCard, as_predictions
from labram.metrics import Array, Ids, greater_is_better, score
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel
from labram.recipe import AdaptationRecipe, TaskRecipe, ValidationProbeRecipe
from labram.store.store import Store
from labram.training.data.labelled import LabelledBatch, LabelledWindows
from labram.training.objectives.objective import batch_to_device

BATCH = 64
PROBE_GAIN = "probe_gain"
"""Metric of a validation: mean over the probes of what they gained since the initial weights."""


@dataclass(frozen=True)
class _Labelled:
    """Some windows of a split, of which embeddings can be computed repeatedly.

    Attributes:
        windows: All windows of the split.
        indices: Those that are used, evenly spaced.
    """

    windows: LabelledWindows
    indices: Ids

    @classmethod
    def load(cls, corpus: Corpus, store: Store, probe: ValidationProbeRecipe, split: Split) -> "_Labelled":
        windows = LabelledWindows.load(corpus, store, _task(probe), split)
        if not len(windows):
            raise LabelError(
                f"no {split} subject of {probe.dataset} has a labelled window of {probe.task} to validate by",
                field="pretraining.probes",
                remedy="Remove the probe, or set split.pretraining: all if the dataset's tasks are cross-validated",
            )
        spaced = np.linspace(0, len(windows) - 1, min(len(windows), probe.most_windows)).round().astype(np.int64)
        return cls(windows, np.unique(spaced))

    @property
    def y(self) -> Array:
        """Their labels."""
        return self.windows.y[self.indices]

    @property
    def subjects(self) -> Ids:
        """Their subjects, numbered by appearance."""
        numbers, _ = pd.factorize(self.windows.subject_keys[self.indices].astype(object))
        return np.asarray(numbers, np.int64)

    def embedded(self, model: DownstreamModel, probe: ValidationProbeRecipe) -> Array:
        """Return their embeddings [n, K]."""
        parts = []
        for batch in self._batches():
            x_BNAT, rows_N = batch_to_device(model, batch)
            parts.append(model.embed(x_BNAT, rows_N, probe.pooling).double().cpu())
        return torch.cat(parts).numpy()

    def _batches(self) -> Iterator[LabelledBatch]:
        for start in range(0, len(self.indices), BATCH):
            yield from self.windows.batch(self.indices[start : start + BATCH])


class ValidationProbes:
    """Probes of a backbone that is being trained.

    Args:
        corpus: Catalogue and labels.
        store: Patch store.
        probes: What to probe for.
        initial: The model with its initial weights, beside which all scores stand.

    Raises:
        LabelError: If no training or no validation subject has labels of a probe.
    """

    def __init__(
        self, corpus: Corpus, store: Store, probes: Sequence[ValidationProbeRecipe], initial: MaskedModel
    ) -> None:
        load = _Labelled.load
        self._probes = [
            (probe, load(corpus, store, probe, "train"), load(corpus, store, probe, "validation")) for probe in probes
        ]
        self._initial = self._scores(initial)

    def scores(self, model: MaskedModel) -> dict[str, float]:
        """Return the scores of all probes, those of the initial weights, and `PROBE_GAIN`.

        The gain is the mean over the probes of how much better they are than with the initial weights, in units of
        their metrics.
        """
        reached, values, gains = self._scores(model), dict[str, float](), []
        for probe, _, _ in self._probes:
            now, before = reached[probe.task], self._initial[probe.task]
            values |= {f"probe/{probe.task}": now, f"probe/{probe.task}/random": before}
            gains.append(now - before if greater_is_better(probe.metric) else before - now)
        return values | {PROBE_GAIN: float(np.mean(gains))}

    @torch.no_grad()
    def _scores(self, model: MaskedModel) -> dict[str, float]:
        frozen = DownstreamModel(model.config, outputs=1)
        weights = {name: value for name, value in model.state_dict().items() if name.startswith("encoder.")}
        norm = ("encoder.norm.weight", "encoder.norm.bias")  # the downstream model has none before its own
        frozen.load_state_dict({name: v for name, v in weights.items() if name not in norm}, strict=False)
        frozen.eval().to(next(model.parameters()).device)
        return {probe.task: _score(probe, fitted, held_out, frozen) for probe, fitted, held_out in self._probes}


def _score(probe: ValidationProbeRecipe, fitted: _Labelled, held_out: _Labelled, model: DownstreamModel) -> float:
    task = _task(probe)
    card = LinearCard(kind=probe.kind, features="embedding", channels=(), classes=task.outputs, penalty=DEFAULT_PENALTY)
    table = fitted.embedded(model, probe)
    chosen = linear.choose([(card, table)], fitted.y, fitted.subjects, probe.metric)
    outputs = linear.fit(table, fitted.y, chosen.card).outputs(held_out.embedded(model, probe))
    return score(probe.metric, probe.kind, held_out.y, as_predictions(probe.kind, outputs))


def _task(probe: ValidationProbeRecipe) -> TaskRecipe:
    return TaskRecipe(
        name=probe.task,
        title=probe.task,
        dataset=probe.dataset,
        kind=probe.kind,
        classes=probe.classes,
        seconds=probe.seconds,
        metric=probe.metric,
        adaptation=AdaptationRecipe(strategy="probe", pooling=probe.pooling),
    )
