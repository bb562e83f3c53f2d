"""The baseline of an evaluation: the spectral model, stored as ``baseline.json`` and ``baseline.npz``."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from labram.linear import model, spectral
from labram.linear.features import Aligned
from labram.linear.model import LinearCard, LinearModel, as_predictions
from labram.linear.probe import part_outputs
from labram.metrics import Array
from labram.recipe import TaskRecipe


@dataclass(frozen=True)
class Baseline:
    """A fitted spectral model."""

    JSON: ClassVar[str] = "baseline.json"
    ARRAYS: ClassVar[str] = "baseline.npz"

    model: LinearModel

    @property
    def card(self) -> LinearCard:
        """What it is."""
        return self.model.card

    @classmethod
    def fit(cls, windows: Aligned, y: Array, task: TaskRecipe, channels: tuple[str, ...]) -> "Baseline":
        """Choose features, alignment and penalty by cross-validation over subjects, then fit to all windows.

        See `labram.linear.spectral.choose` for the arguments.
        """
        chosen = spectral.choose(windows, y, task, channels)
        return cls(model.fit(chosen.table, np.asarray(y, float), chosen.card))

    def predict(self, windows: Aligned) -> Array:
        """Return predictions in the form that `labram.metrics.scores` takes.

        Args:
            windows: The windows with any alignment; all windows of each subject if features are standardised within.

        Raises:
            LabelError: If a montage lacks a channel that the baseline was fitted on.
        """
        return as_predictions(self.card.kind, part_outputs(self.model, windows))

    def save(self, folder: Path) -> None:
        """Write `JSON` and `ARRAYS`."""
        np.savez(folder / self.ARRAYS, allow_pickle=False, **self.model.arrays())
        (folder / self.JSON).write_text(self.card.to_json() + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Baseline | None":
        """Return the baseline in a folder; None if it has none."""
        if not (folder / cls.JSON).is_file():
            return None
        card = LinearCard.from_json((folder / cls.JSON).read_text(encoding="utf-8"))
        with np.load(folder / cls.ARRAYS, allow_pickle=False) as arrays:
            return cls(LinearModel.of(card, arrays))
