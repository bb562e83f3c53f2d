"""A linear model of one feature table: ridge or balanced logistic regression, chosen by cross-validation over subjects.

Stored as arrays and JSON; prediction needs NumPy only.

Letters: n windows, K features, O outputs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from labram.frozen_model import FrozenModel
from labram.linear.features import CONSTANT, FEATURES, TANGENT_BANDS
from labram.metrics import Array, greater_is_better, score
from labram.recipe import AlignmentRecipe, WindowPooling

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Strengths of the L2 penalty, relative to the number of windows."""
DEFAULT_PENALTY = 0.1
"""Penalty with one training subject, where none can be chosen."""
FOLDS = 5
CERTAIN = 50.0
"""Logit of a class that is certain."""
SMALLEST_DIRECTION = 1e-10
"""Share of the largest squared length below which a direction of the features is rounding."""
ARRAYS = ("mean", "scale", "weights", "bias")


class LinearCard(FrozenModel):
    """Description of a linear model, stored beside its arrays."""

    kind: str
    features: str
    channels: tuple[str, ...]
    classes: int
    penalty: float
    within_subject: bool = False
    frequencies: tuple[float, ...] = ()
    alignment: AlignmentRecipe = AlignmentRecipe()
    pooling: WindowPooling | Literal[""] = ""
    note: str = ""

    def describe(self) -> str:
        """Return one line for reports."""
        model = "ridge regression" if self.kind == "regression" else "balanced logistic regression"
        features = FEATURES[self.features]
        if self.frequencies:
            features += f" with {', '.join(f'{hz:g}' for hz in self.frequencies)} Hz"
        if self.pooling:
            features += f" (pooling: {self.pooling})"
        if self.within_subject and self.features in TANGENT_BANDS:
            features += ", recentred within each subject on all of its windows together"
        elif self.within_subject:
            features += ", standardised within each subject on all of its windows together"
        return f"{features}, {len(self.channels)} channels, {model}"


@dataclass(frozen=True)
class LinearModel:
    """A fitted model: standardisation of the features and a linear map.

    Attributes:
        card: Kind, features and settings of the model.
        mean: Mean of each feature over the training windows [K].
        scale: Their standard deviation [K].
        weights: [K, O].
        bias: [O].
    """

    card: LinearCard
    mean: Array
    scale: Array
    weights: Array
    bias: Array

    def outputs(self, table: Array) -> Array:
        """Return logits, or targets in their own unit, [n, O]."""
        values: Array = (table - self.mean) / self.scale @ self.weights + self.bias
        return values

    def arrays(self) -> dict[str, Array]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in ARRAYS}

    @classmethod
    def of(cls, card: LinearCard, arrays: Mapping[str, Array], prefix: str = "") -> "LinearModel":
        """Return the model that `arrays` describe; their names begin with `prefix`."""
        return cls(card, *(arrays[prefix + name] for name in ARRAYS))


def as_predictions(kind: str, outputs: Array) -> Array:
    """Return predictions as `labram.models.downstream.prediction` does, from outputs [n, O]."""
    if kind == "regression":
        return outputs
    if kind == "binary":
        probability: Array = 1 / (1 + np.exp(-np.clip(outputs[:, 0], -500, 500)))
        return probability
    odds = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    share: Array = odds / odds.sum(axis=1, keepdims=True)
    return share


class SelectedModel(NamedTuple):
    """The best of several candidates.

    Attributes:
        card: Its description.
        table: Its features [n, K].
        out_of_fold: Outputs of models that had not seen the window's subject [n, O]; None with one subject.
        score: Headline metric of those; None with one subject.
    """

    card: LinearCard
    table: Array
    out_of_fold: Array | None
    score: float | None


def choose(
    candidates: Iterable[tuple[LinearCard, Array]], y: Array, subjects: npt.NDArray[np.int64], metric: str
) -> SelectedModel:
    """Return the candidate and penalty with the best out-of-fold headline metric; the first of equals.

    Args:
        candidates: Cards and their tables [n, K].
        y: Class indices [n], or targets [n, O].
        subjects: Subject of each window [n], numbered by appearance. With one subject, the first candidate is chosen.
        metric: Headline metric.
    """
    best: SelectedModel | None = None
    reached, folds = -np.inf, min(FOLDS, len(np.unique(subjects)))
    for card, table in candidates:
        if best is None:
            best = SelectedModel(card, table, None, None)
        if folds < 2:
            break
        outputs = _out_of_fold(table, y, subjects, card, folds)
        for penalty, held_out in outputs.items():
            value = score(metric, card.kind, y, as_predictions(card.kind, held_out))
            signed = value if greater_is_better(metric) else -value
            if np.isfinite(value) and signed > reached:
                with_penalty = card.model_copy(update={"penalty": penalty})
                best, reached = SelectedModel(with_penalty, table, held_out, value), signed
    assert best is not None, "a candidate"
    return best


def _out_of_fold(
    table: Array, y: Array, subjects: npt.NDArray[np.int64], card: LinearCard, folds: int
) -> dict[float, Array]:
    """Return the outputs [n, O] for held-out subjects, by penalty."""
    from sklearn.model_selection import GroupKFold

    outputs = {penalty: np.zeros((len(y), card.classes)) for penalty in PENALTIES}
    for train, held_out in GroupKFold(folds).split(table, groups=subjects):
        standard = _Standardised.of(table[train])
        for penalty, into in outputs.items():
            model = _fitted(standard, y[train], card.model_copy(update={"penalty": penalty}))
            into[held_out] = model.outputs(table[held_out])
    return outputs


def fit(table: Array, y: Array, card: LinearCard) -> LinearModel:
    """Fit a model with the penalty of its card.

    Args:
        table: Features [n, K].
        y: Class indices [n], or targets [n, O].
        card: What to fit.
    """
    return _fitted(_Standardised.of(table), y, card)


class _Standardised(NamedTuple):
    """Features with mean 0 and SD 1, rotated: neither model depends on the rotation of its features.

    Windows that are fewer than their features [n, K] span n dimensions at most, so that `rotated` is [n, n] and
    `rotation` [K, n]; otherwise `rotation` is None.
    """

    mean: Array
    scale: Array
    rotated: Array
    rotation: Array | None

    @classmethod
    def of(cls, table: Array) -> "_Standardised":
        mean, scale = table.mean(axis=0), table.std(axis=0)
        scale = np.where(scale < CONSTANT, 1.0, scale)
        standard = (table - mean) / scale
        if len(table) >= table.shape[1]:
            return cls(mean, scale, standard, None)
        squares, vectors = np.linalg.eigh(standard @ standard.T)
        kept = squares > max(squares[-1], 0.0) * SMALLEST_DIRECTION
        lengths = np.sqrt(squares[kept])
        return cls(mean, scale, vectors[:, kept] * lengths, standard.T @ (vectors[:, kept] / lengths))


def _fitted(features: _Standardised, y: Array, card: LinearCard) -> LinearModel:
    solve = _ridge if card.kind == "regression" else _logistic
    weights, bias = solve(features.rotated, y, card)
    if features.rotation is not None:
        weights = features.rotation @ weights
    return LinearModel(card, features.mean, features.scale, weights, bias)


def _ridge(standard: Array, y: Array, card: LinearCard) -> tuple[Array, Array]:
    from sklearn.linear_model import Ridge

    targets = y.reshape(len(y), -1)
    model = Ridge(alpha=card.penalty * len(y)).fit(standard, targets)
    return np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_)


def _logistic(standard: Array, y: Array, card: LinearCard) -> tuple[Array, Array]:
    """Fit logistic regression with balanced classes; a class without training windows has probability 0."""
    from sklearn.linear_model import LogisticRegression

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


def _certain(label: int, card: LinearCard) -> Array:
    """Return the bias that always predicts the only label in the training windows."""
    if card.kind == "binary":
        return np.array([CERTAIN if label else -CERTAIN])
    return np.where(np.arange(card.classes) == label, 0.0, -np.inf)
