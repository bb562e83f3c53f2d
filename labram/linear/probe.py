"""A task's predictor in closed form: a probe of LaBraM's embeddings, alone or stacked with the spectral model.

Stored beside the weights of LaBraM as ``probe.json`` and ``probe.npz``.

Letters: n windows, O outputs.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from labram import checksums
from labram.errors import DamagedFileError
from labram.frozen_model import FrozenModel
from labram.linear.features import CONSTANT, Aligned, Embed, measure
from labram.linear.model import LinearCard, LinearModel, SelectedModel, as_predictions, fit
from labram.metrics import Array
from labram.recipe import WindowPooling

LARGEST_WEIGHT = 10.0
"""Bound of a stacking weight, for parts that separate the classes perfectly."""


class ProbeCard(FrozenModel):
    """Description of a probe, stored beside its arrays.

    Attributes:
        parts: The linear models: LaBraM's probe first.
        weights: Factor of each part's outputs in the sum.
        offset: Added to the sum [O].
        share: Part of LaBraM in the spread of the sum, 0 to 1; 1 alone.
        arrays_sha256: Digest of the file with the arrays.
    """

    parts: tuple[LinearCard, ...]
    weights: tuple[float, ...]
    offset: tuple[float, ...] = (0.0,)
    share: float = 1.0
    arrays_sha256: str = ""

    def describe(self) -> str:
        """Return one line for reports."""
        if len(self.parts) == 1:
            return self.parts[0].describe()
        described = " + ".join(part.describe() for part in self.parts)
        return f"{described}; stacked out of fold, LaBraM's share {self.share:.0%}"


@dataclass(frozen=True)
class Probe:
    """Linear models whose outputs are added with weights.

    Attributes:
        card: Kind, features and settings of the model.
        parts: The fitted models, in the order of the card.
    """

    JSON: ClassVar[str] = "probe.json"
    ARRAYS: ClassVar[str] = "probe.npz"

    card: ProbeCard
    parts: tuple[LinearModel, ...]

    @property
    def pooling(self) -> WindowPooling:
        """Pooling of the embeddings."""
        return self.card.parts[0].pooling or "mean"

    @property
    def within_subject(self) -> bool:
        """Whether a part standardises its features within each subject."""
        return any(part.within_subject for part in self.card.parts)

    @property
    def alone(self) -> "Probe | None":
        """LaBraM's part of a stack; None if there is nothing else."""
        if len(self.parts) == 1:
            return None
        return Probe(ProbeCard(parts=self.card.parts[:1], weights=(1.0,)), self.parts[:1])

    def predict(self, windows: Aligned, embed: Embed) -> Array:
        """Return predictions in the form that `labram.metrics.scores` takes.

        Args:
            windows: The windows with any alignment; all windows of each subject if features are standardised within.
            embed: Embeddings of windows by the model's LaBraM.

        Raises:
            LabelError: If a montage lacks a channel that the probe was fitted on.
        """
        outputs = [part_outputs(part, windows, embed) for part in self.parts]
        return as_predictions(self.card.parts[0].kind, self.added(outputs))

    def added(self, outputs: Sequence[Array]) -> Array:
        """Return the weighted sum [n, O] of the parts' outputs."""
        total: Array = np.zeros_like(outputs[0]) + np.asarray(self.card.offset)
        for part, weight in zip(outputs, self.card.weights, strict=True):
            total += part * weight if weight else 0.0  # a class that was never seen has an infinite output
        return total

    def save(self, folder: Path) -> None:
        """Write `JSON` and `ARRAYS`."""
        arrays = {f"{number}.{name}": a for number, part in enumerate(self.parts) for name, a in part.arrays().items()}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        (folder / self.ARRAYS).write_bytes(buffer.getvalue())
        card = self.card.model_copy(update={"arrays_sha256": hashlib.sha256(buffer.getvalue()).hexdigest()})
        checksums.write_json(folder / self.JSON, card.model_dump(mode="json"), indent=1)

    @classmethod
    def load(cls, folder: Path) -> "Probe | None":
        """Return the probe in a folder; None if it has none.

        Raises:
            DamagedFileError: If the file was altered.
        """
        if not (folder / cls.JSON).is_file():
            return None
        card = ProbeCard.model_validate(checksums.loads(checksums.read_checked(folder / cls.JSON)))
        content = (folder / cls.ARRAYS).read_bytes()
        if hashlib.sha256(content).hexdigest() != card.arrays_sha256:
            raise DamagedFileError("checksum mismatch", file=cls.ARRAYS, remedy="Train the task model again")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            parts = [LinearModel.of(part, arrays, f"{number}.") for number, part in enumerate(card.parts)]
        return cls(card, tuple(parts))


def combined(chosen: Sequence[SelectedModel], y: Array, kind: str) -> tuple[Probe, Array | None]:
    """Fit the chosen parts to all windows, and the weights of their sum to their out-of-fold outputs.

    Args:
        chosen: The parts; LaBraM's first.
        y: Class indices [n], or targets [n, O].
        kind: Kind of the task.

    Returns:
        The probe, and its out-of-fold outputs [n, O]; None with one subject, when all parts have equal weights.
    """
    parts = tuple(fit(choice.table, y, choice.card) for choice in chosen)
    cards = tuple(part.card for part in parts)
    outputs = [choice.out_of_fold for choice in chosen if choice.out_of_fold is not None]
    if len(outputs) < len(parts):
        equal = (1 / len(parts),) * len(parts)
        return Probe(ProbeCard(parts=cards, weights=equal, share=equal[0]), parts), None
    probe = Probe(ProbeCard(parts=cards, **stack(kind, outputs, y)._asdict()), parts)
    return probe, probe.added(outputs)


def part_outputs(part: LinearModel, windows: Aligned, embed: Embed | None = None) -> Array:
    """Return the outputs [n, O] of one linear model for all windows."""
    card = part.card
    groups = windows(card.alignment)
    tables = measure(groups, card.channels, (card.features,), frequencies=card.frequencies, embed=embed)
    return part.outputs(tables.table(card.features, within_subject=card.within_subject))


class Stack(NamedTuple):
    """How outputs of several parts are added.

    Attributes:
        weights: Factor of each part, not negative.
        offset: Added to the sum [O]: for targets, what the weights lack to 1 of the mean target; else 0.
        share: First part's share of the spread of the sum.
    """

    weights: tuple[float, ...]
    offset: tuple[float, ...]
    share: float


def stack(kind: str, out_of_fold: Sequence[Array], y: Array) -> Stack:
    """Fit the weights of a sum of outputs, so that it predicts subjects which no part has seen.

    They minimise log loss with balanced classes, or the squared error in units of each target's SD. For one part this
    calibrates its probabilities.

    Args:
        kind: Kind of the task.
        out_of_fold: Outputs [n, O] of each part for windows of subjects that it had not seen.
        y: Class indices [n], or targets [n, O].
    """
    from scipy.optimize import minimize

    parts = [np.clip(np.nan_to_num(outputs, neginf=-1e3, posinf=1e3), -1e3, 1e3) for outputs in out_of_fold]
    centre = y.reshape(len(y), -1).mean(axis=0) if kind == "regression" else np.zeros(parts[0].shape[1])
    centred = [part - centre for part in parts]
    loss = _squared_error(y.reshape(len(y), -1) - centre) if kind == "regression" else _log_loss(y.astype(int).ravel())
    start = np.full(len(parts), 1 / len(parts))
    bounds = [(0.0, LARGEST_WEIGHT)] * len(parts)

    def objective(weights: Array) -> float:
        return loss(np.tensordot(weights, centred, axes=1))

    weights: Array = minimize(objective, start, method="L-BFGS-B", bounds=bounds).x
    spreads = weights * [part.std() for part in centred]
    share = float(spreads[0] / spreads.sum()) if spreads.sum() > 0 else 0.0
    offset = (1 - weights.sum()) * centre
    return Stack(tuple(map(float, weights)), tuple(map(float, offset)), share)


def _squared_error(targets: Array) -> Callable[[Array], float]:
    spread = np.maximum(targets.std(axis=0), CONSTANT)
    return lambda total: float((((total - targets) / spread) ** 2).mean())


def _log_loss(labels: npt.NDArray[np.int64]) -> Callable[[Array], float]:
    balance = 1 / np.bincount(labels)[labels]
    balance /= balance.sum()

    def loss(total: Array) -> float:
        logits = np.hstack([np.zeros_like(total), total]) if total.shape[1] == 1 else total
        return -float(balance @ log_softmax(logits, axis=1)[np.arange(len(labels)), labels])

    return loss
