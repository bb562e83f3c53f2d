"""The baseline for every task: features of the spectrum and a linear model on the same windows, aligned alike.

Features and regularisation are chosen by cross-validation over the training and validation subjects, among:

- log power in the five classical bands, or in 1-Hz bins;
- if the task declares `frequencies`, canonical correlations with them (`labram.evaluation.periodic_features`), because
  responses at 13, 17 and 21 Hz lie in one band and a few µV of them in the noise of a bin;
- each of these also standardised within each subject, without labels. Predictions then depend on which windows of a
  subject are predicted together.

A baseline is stored as arrays (`baseline.npz`) and JSON; prediction needs NumPy and SciPy only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import welch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold

from labram.errors import LabelError
from labram.evaluation.periodic_features import canonical_correlations
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
FEATURES = {
    "bands": "log power in five bands",
    "bins": "log power in 1-Hz bins, 1-45 Hz",
    "fbcca": "filter-bank canonical correlations",
}
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Strengths of the L2 penalty, relative to the number of windows."""
FOLDS = 5
CERTAIN = 50.0
"""Logit of a class that is certain."""
SMALLEST_PSD = 1e-6
"""Floor in µV²/Hz, far below amplifier noise, so that the logarithm of a flat channel is finite."""


class Choice(NamedTuple):
    """Features, whether they are standardised within each subject, and the penalty."""

    features: str
    within_subject: bool
    penalty: float


DEFAULT = Choice("bands", within_subject=False, penalty=0.1)


@dataclass(frozen=True)
class WindowGroup:
    """Windows of one montage.

    Attributes:
        signals: The windows in any number of parts, each µV at 200 Hz [n, C, samples]; can be iterated repeatedly.
        channels: Canonical names [C].
        subjects: Subject of each window [n].
    """

    signals: Iterable[npt.NDArray[np.float32]]
    channels: tuple[str, ...]
    subjects: Sequence[str]


class BaselineCard(FrozenModel):
    """Description of a stored baseline, beside its arrays."""

    kind: str
    features: str
    channels: tuple[str, ...]
    classes: int
    penalty: float
    within_subject: bool = False
    frequencies: tuple[float, ...] = ()
    alignment: AlignmentRecipe = AlignmentRecipe()
    note: str = ""

    def describe(self) -> str:
        """Return one line for reports."""
        model = "ridge regression" if self.kind == "regression" else "balanced logistic regression"
        features = FEATURES[self.features]
        if self.features == "fbcca":
            features += f" with {', '.join(f'{hz:g}' for hz in self.frequencies)} Hz"
        if self.within_subject:
            features += ", standardised within each subject on all of its windows together"
        return f"{features}, {len(self.channels)} channels, {model}"


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


class _Measured(NamedTuple):
    """Power densities [n, C, 101], canonical correlations [n, K] or None, and subjects [n] of windows."""

    density: npt.NDArray[np.float32]
    correlations: Array | None
    subjects: npt.NDArray[np.object_]

    def table(self, features: str, *, within_subject: bool) -> Array:
        """Return features [n, K]."""
        if features == "fbcca":
            assert self.correlations is not None, "frequencies"
            table = self.correlations
        else:
            table = log_powers(self.density, features).reshape(len(self.density), -1)
        return standardise_within(table, self.subjects) if within_subject else table


def _measure(groups: Sequence[WindowGroup], channels: Sequence[str], frequencies: Sequence[float]) -> _Measured:
    """Measure all windows, group by group, in one pass over their signals."""
    densities, correlations = [], []
    for group in groups:
        picks = [group.channels.index(name) for name in channels]
        for signals in group.signals:
            densities.append(power_density(signals[:, picks]))
            if frequencies:
                correlations.append(canonical_correlations(signals[:, picks], frequencies))
    subjects = np.concatenate([np.asarray(group.subjects, dtype=object) for group in groups])
    return _Measured(np.concatenate(densities), np.concatenate(correlations) if correlations else None, subjects)


def standardise_within(table: Array, subjects: npt.NDArray[np.object_]) -> Array:
    """Return features [n, K] as z-scores over the windows of each subject; a constant feature becomes 0."""
    standard = np.empty_like(table)
    for rows in pd.Series(range(len(table))).groupby(subjects).indices.values():
        deviations = table[rows] - table[rows].mean(axis=0)
        spread = deviations.std(axis=0)
        standard[rows] = deviations / np.where(spread < 1e-9, 1.0, spread)
    return standard


class Baseline:
    """A fitted baseline: standardisation and a linear map."""

    def __init__(self, card: BaselineCard, mean: Array, scale: Array, weights: Array, bias: Array) -> None:
        self.card, self.mean, self.scale, self.weights, self.bias = card, mean, scale, weights, bias

    def predict(self, groups: Sequence[WindowGroup]) -> Array:
        """Return predictions in the form that `labram.metrics.scores` takes.

        Args:
            groups: Windows; if the features are standardised within subjects, all windows of each subject.

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
        measured = _measure(groups, self.card.channels, self.card.frequencies)
        return self._from_features(measured.table(self.card.features, within_subject=self.card.within_subject))

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
    groups: Sequence[WindowGroup], y: Array, task: TaskRecipe, *, channels: tuple[str, ...] | None = None
) -> Baseline:
    """Choose features and penalty by cross-validation over subjects, then fit to all windows.

    Args:
        groups: Windows by montage.
        y: Class indices [n], or targets [n, M], in the order of `groups`.
        task: Task with kind, classes, headline metric and frequencies.
        channels: Channels to use; None: all common channels.
    """
    channels = channels or common_channels(groups)
    measured = _measure(groups, channels, task.frequencies)
    y = np.asarray(y, float)
    keys, names = pd.factorize(measured.subjects)  # numbered by appearance, because keys are random
    folds = min(FOLDS, len(names))
    if folds < 2:
        choice, note = DEFAULT, "One training subject: features and penalty are the defaults."
    else:
        choice, note = _choose(measured, y, keys, task, folds), ""
    card = BaselineCard(
        kind=task.kind,
        features=choice.features,
        channels=channels,
        classes=task.outputs,
        penalty=choice.penalty,
        within_subject=choice.within_subject,
        frequencies=task.frequencies if choice.features == "fbcca" else (),
        alignment=task.alignment,
        note=note,
    )
    return _fit(measured.table(choice.features, within_subject=choice.within_subject), y, card)


def _choose(measured: _Measured, y: Array, keys: npt.NDArray[np.int64], task: TaskRecipe, folds: int) -> Choice:
    """Return the choice with the best out-of-fold headline metric; the first of equals."""
    best, reached = DEFAULT, -np.inf
    for name in FEATURES:
        if name == "fbcca" and not task.frequencies:
            continue
        for within_subject in (False, True):
            table = measured.table(name, within_subject=within_subject)
            for penalty in PENALTIES:
                value = _validated(table, y, keys, task, penalty, folds)
                if value > reached:
                    best, reached = Choice(name, within_subject, penalty), value
    return best


def _validated(
    table: Array, y: Array, keys: npt.NDArray[np.int64], task: TaskRecipe, penalty: float, folds: int
) -> float:
    """Return the headline metric of out-of-fold predictions, signed so that greater is better; -inf if undefined."""
    card = BaselineCard(kind=task.kind, features="", channels=(), classes=task.outputs, penalty=penalty)
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
