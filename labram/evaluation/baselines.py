"""The baseline for every task: log band power and a linear model on the same windows.

Features (the five classical bands, or 1-Hz bins) and regularisation are chosen by cross-validation over the training
and validation subjects. The bins matter for SSVEP: responses at 13, 17 and 21 Hz lie in one band, so five bands alone
would be too weak a baseline.

A baseline is stored as arrays (`baseline.npz`) and JSON; prediction needs NumPy only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import welch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold

from labram.errors import LabelError
from labram.evaluation.statistics import single_scores
from labram.frozen_model import FrozenModel
from labram.input_spec import SAMPLE_RATE_HZ
from labram.metrics import Array, greater_is_better
from labram.recipe import AlignmentRecipe, TaskRecipe

BANDS: dict[str, tuple[float, float]] = {
    "delta": (0.5, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
    "gamma": (30.0, 70.0),
}
BINS_HZ = np.arange(1, 46)
FEATURES = {"bands": "log power in five bands", "bins": "log power in 1-Hz bins, 1-45 Hz"}
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Strengths of the L2 penalty, relative to the number of windows."""
DEFAULT = ("bands", 0.1)
FOLDS = 5
CERTAIN = 50.0
"""Logit of a class that is certain."""
SMALLEST_PSD = 1e-6
"""Floor in µV²/Hz, far below amplifier noise, so that the logarithm of a flat channel is finite."""


@dataclass(frozen=True)
class WindowGroup:
    """Windows of one montage.

    Attributes:
        signals: The windows in any number of parts, each µV at 200 Hz [n, C, samples]; can be iterated repeatedly.
        channels: Canonical names [C].
    """

    signals: Iterable[npt.NDArray[np.float32]]
    channels: tuple[str, ...]


class BaselineCard(FrozenModel):
    """Description of a stored baseline, beside its arrays."""

    kind: str
    features: str
    channels: tuple[str, ...]
    classes: int
    penalty: float
    alignment: AlignmentRecipe = AlignmentRecipe()
    note: str = ""

    def describe(self) -> str:
        """Return one line for reports."""
        model = "ridge regression" if self.kind == "regression" else "balanced logistic regression"
        return f"{FEATURES[self.features]}, {len(self.channels)} channels, {model}"


def power_density(signals: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the power spectral density in µV²/Hz (Welch, 1-s Hann windows, half overlapping).

    Args:
        signals: µV at 200 Hz [n, C, samples], at least one second.

    Returns:
        [n, C, 101] at 0, 1, ... 100 Hz.
    """
    return np.asarray(welch(signals, fs=SAMPLE_RATE_HZ, nperseg=SAMPLE_RATE_HZ, axis=-1)[1], dtype=np.float32)


def log_powers(density: npt.NDArray[np.float32], features: str) -> Array:
    """Return log10 of the mean power density of each band or bin.

    Args:
        density: Power density [n, C, 101], see `power_density`.
        features: ``bands`` (`BANDS`) or ``bins`` (`BINS_HZ`).

    Returns:
        [n, C, 5] or [n, C, 45].
    """
    hz = np.arange(density.shape[-1])
    if features == "bins":
        powers = density[..., BINS_HZ]
    else:
        inside = [(low <= hz) & (hz < high) for low, high in BANDS.values()]
        powers = np.stack([density[..., band].mean(axis=-1) for band in inside], axis=-1)
    return np.log10(np.maximum(powers, SMALLEST_PSD)).astype(np.float64)


def common_channels(groups: Sequence[WindowGroup]) -> tuple[str, ...]:
    """Return the channels that all montages share, in the order of the first.

    Raises:
        LabelError: If they share none.
    """
    if not groups:
        return ()
    shared = set(groups[0].channels).intersection(*(group.channels for group in groups))
    if not shared:
        raise LabelError(
            "no channel is common to all recordings of this task, as the linear baseline requires",
            remedy="Use recordings with a common channel for this task",
        )
    return tuple(name for name in groups[0].channels if name in shared)


def _densities(groups: Sequence[WindowGroup], channels: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return power densities of all windows, group by group [n, len(channels), 101]."""
    parts = []
    for group in groups:
        picks = [group.channels.index(name) for name in channels]
        parts += [power_density(signals[:, picks]) for signals in group.signals]
    return np.concatenate(parts)


def _table(density: npt.NDArray[np.float32], features: str) -> Array:
    """Return features [n, channels x bands]."""
    return log_powers(density, features).reshape(len(density), -1)


class Baseline:
    """A fitted baseline: standardisation and a linear map."""

    def __init__(self, card: BaselineCard, mean: Array, scale: Array, weights: Array, bias: Array) -> None:
        self.card, self.mean, self.scale, self.weights, self.bias = card, mean, scale, weights, bias

    def predict(self, groups: Sequence[WindowGroup]) -> Array:
        """Return predictions in the form that `labram.metrics.scores` takes.

        Raises:
            LabelError: If a montage lacks a channel that the baseline was fitted on.
        """
        for group in groups:
            missing = [name for name in self.card.channels if name not in group.channels]
            if missing:
                raise LabelError(
                    f"the baseline needs channels {', '.join(missing)}, which these recordings lack",
                    remedy="Evaluate recordings with the montage of the training recordings",
                )
        return self._from_features(_table(_densities(groups, self.card.channels), self.card.features))

    def _from_features(self, table: Array) -> Array:
        values: Array = (table - self.mean) / self.scale @ self.weights + self.bias
        if self.card.kind == "regression":
            return values[:, 0] if values.shape[1] == 1 else values
        if self.card.kind == "binary":
            probability: Array = 1 / (1 + np.exp(-np.clip(values[:, 0], -500, 500)))
            return probability
        odds = np.exp(values - values.max(axis=1, keepdims=True))
        share: Array = odds / odds.sum(axis=1, keepdims=True)
        return share

    def save(self, folder: Path) -> None:
        """Write `baseline.npz` and `baseline.json`."""
        np.savez(folder / "baseline.npz", mean=self.mean, scale=self.scale, weights=self.weights, bias=self.bias)
        (folder / "baseline.json").write_text(self.card.to_json() + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Baseline | None":
        """Return the baseline in a folder; None if it has none."""
        if not (folder / "baseline.json").is_file():
            return None
        card = BaselineCard.from_json((folder / "baseline.json").read_text(encoding="utf-8"))
        with np.load(folder / "baseline.npz", allow_pickle=False) as arrays:
            return cls(card, arrays["mean"], arrays["scale"], arrays["weights"], arrays["bias"])


def fit(
    groups: Sequence[WindowGroup],
    y: Array,
    subject_keys: Sequence[str],
    task: TaskRecipe,
    *,
    channels: tuple[str, ...] | None = None,
) -> Baseline:
    """Choose features and penalty by cross-validation over subjects, then fit to all windows.

    Args:
        groups: Windows by montage.
        y: Class indices [n], or targets [n, M], in the order of `groups`.
        subject_keys: Subject of each window [n], in the same order.
        task: Task with kind, classes and headline metric.
        channels: Channels to use; None: all common channels.
    """
    channels = channels or common_channels(groups)
    density = _densities(groups, channels)
    tables = {name: _table(density, name) for name in FEATURES}
    y = np.asarray(y, float)
    keys, names = pd.factorize(
        np.asarray(subject_keys, dtype=object)
    )  # numbered by appearance, because keys are random
    folds = min(FOLDS, len(names))
    if folds < 2:
        (name, penalty), note = DEFAULT, "One training subject: features and penalty are the defaults."
    else:
        choices = [(name, penalty) for name in FEATURES for penalty in PENALTIES]
        scored = [_validated(tables[name], y, keys, task, (name, penalty), folds) for name, penalty in choices]
        (name, penalty), note = choices[int(np.argmax(scored))], ""
    card = BaselineCard(
        kind=task.kind,
        features=name,
        channels=channels,
        classes=task.outputs,
        penalty=penalty,
        alignment=task.alignment,
        note=note,
    )
    return _fit(tables[name], y, card)


def _validated(
    table: Array, y: Array, keys: npt.NDArray[np.int64], task: TaskRecipe, choice: tuple[str, float], folds: int
) -> float:
    """Return the headline metric of out-of-fold predictions, signed so that greater is better; -inf if undefined."""
    name, penalty = choice
    card = BaselineCard(kind=task.kind, features=name, channels=(), classes=task.outputs, penalty=penalty)
    predicted: Any = None
    for train, held_out in GroupKFold(folds).split(table, groups=keys):
        values = _fit(table[train], y[train], card)._from_features(table[held_out])
        predicted = np.zeros((len(y), *values.shape[1:])) if predicted is None else predicted
        predicted[held_out] = values
    value = single_scores(task.kind, y, predicted)[task.metric]
    if not np.isfinite(value):
        return -np.inf
    return value if greater_is_better(task.metric) else -value


def _fit(table: Array, y: Array, card: BaselineCard) -> Baseline:
    mean, scale = table.mean(axis=0), table.std(axis=0)
    scale = np.where(scale < 1e-9, 1.0, scale)
    standard = (table - mean) / scale
    weights, bias = _ridge(standard, y, card) if card.kind == "regression" else _logistic(standard, y, card)
    return Baseline(card, mean, scale, weights, bias)


def _ridge(standard: Array, y: Array, card: BaselineCard) -> tuple[Array, Array]:
    targets = y.reshape(len(y), -1)
    model = Ridge(alpha=card.penalty * len(y)).fit(standard, targets)
    return np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_)


def _logistic(standard: Array, y: Array, card: BaselineCard) -> tuple[Array, Array]:
    """Fit logistic regression with balanced classes; a class without training windows has probability 0."""
    seen = np.unique(y.astype(int))
    weights = np.zeros((standard.shape[1], card.classes))
    bias = np.full(card.classes, -np.inf)
    if len(seen) == 1:
        return weights, _certain(int(seen[0]), card)
    strength = 1 / (card.penalty * len(y))
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=300, tol=1e-3)
    model.fit(standard, y.astype(int))
    coefficients, intercept = np.asarray(model.coef_), np.asarray(model.intercept_)
    if card.kind == "binary":
        return coefficients.T, intercept
    if len(coefficients) == 1:
        coefficients, intercept = np.vstack([0 * coefficients, coefficients]), np.array([0.0, intercept[0]])
    weights[:, seen], bias[seen] = coefficients.T, intercept
    return weights, bias


def _certain(label: int, card: BaselineCard) -> Array:
    """Return the bias that always predicts the only label in the training windows."""
    if card.kind == "binary":
        return np.array([CERTAIN if label else -CERTAIN])
    return np.where(np.arange(card.classes) == label, 0.0, -np.inf)
