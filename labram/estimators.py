"""scikit-learn estimators on LaBraM: `LabramClassifier` and `LabramRegressor`.

They fit a linear model of the embeddings of a frozen backbone, with the penalty chosen by cross-validation over groups
(subjects), as `tasks.NAME.adaptation.strategy: probe` does in a recipe.

Letters: n windows, C channels, K features.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from labram.embedding import Labram, Unknown
from labram.errors import RecipeError, WindowError
from labram.evaluation.statistics import Estimate, bootstrap, estimates, scores
from labram.inference.embedder import LayerEmbedder
from labram.inference.mne_objects import eeg_windows, is_mne
from labram.linear import model as linear
from labram.linear.features import standardise_within
from labram.linear.model import LinearCard, LinearModel
from labram.metrics import Array
from labram.recipe import AlignmentRecipe, WindowPooling
from labram.signals import alignment as alignments

Strategy = Literal["probe"]
AlignmentKind = Literal["none", "euclidean", "zscore"]
_DRAWS = 1000


class _LabramEstimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share; see `LabramClassifier`."""

    def __init__(
        self,
        model: str | Path | Labram | None = None,
        channels: Sequence[str] | None = None,
        *,
        sfreq: float | None = None,
        unit: str = "uV",
        strategy: Strategy = "probe",
        pooling: WindowPooling = "mean",
        alignment: AlignmentKind = "none",
        within_group: bool = False,
        penalty: float | None = None,
        on_unknown: Unknown = "raise",
        device: str | None = None,
    ) -> None:
        self.model = model
        self.channels = channels
        self.sfreq = sfreq
        self.unit = unit
        self.strategy = strategy
        self.pooling = pooling
        self.alignment = alignment
        self.within_group = within_group
        self.penalty = penalty
        self.on_unknown = on_unknown
        self.device = device

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: windows have three dimensions, embeddings two."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _fit(self, X: Any, y: Array, groups: npt.ArrayLike | None, card: LinearCard, metric: str) -> None:
        """Embed the windows, choose the penalty, and fit the linear model to all of them."""
        of_group = _group_numbers(groups, len(y))
        table = self._table(X, of_group)
        if self.penalty is None:
            folds = np.arange(len(y)) if groups is None else of_group
            chosen = linear.choose([(card, table)], y, folds, metric)
            card, score = chosen.card, chosen.score
        else:
            card, score = card.model_copy(update={"penalty": float(self.penalty)}), None
        self.linear_: LinearModel = linear.fit(table, y, card)
        self.penalty_, self.cv_score_ = card.penalty, score

    def _card(self, kind: str, outputs: int) -> LinearCard:
        if self.strategy != "probe":
            raise RecipeError(
                f"unknown strategy {self.strategy!r}",
                field="strategy",
                remedy="Pass probe; `labram adapt` fine-tunes all weights",
            )
        return LinearCard(
            kind=kind,
            features="embedding",
            channels=(),
            classes=outputs,
            penalty=linear.DEFAULT_PENALTY,
            within_subject=self.within_group,
            alignment=AlignmentRecipe(kind=self.alignment),
            pooling=self.pooling,
        )

    def _outputs(self, X: Any, groups: npt.ArrayLike | None) -> Array:
        check_is_fitted(self)
        X = X if is_mne(X) else _validated(self, X, reset=False)
        return self.linear_.outputs(self._table(X, _group_numbers(groups, len(X))))

    def _table(self, X: Any, of_group: npt.NDArray[np.int64]) -> Array:
        """Return features [n, K] of windows or embeddings."""
        table = self._embedded(X, of_group) if is_mne(X) or np.ndim(X) == 3 else np.asarray(X, dtype=np.float64)
        return standardise_within(table, of_group.astype(object)) if self.within_group else table

    def _embedded(self, X: Any, of_group: npt.NDArray[np.int64]) -> Array:
        if self.model is None:
            raise WindowError(
                "windows need a model that embeds them",
                field="model",
                remedy="Pass model=, a folder or models:/labram-backbone@champion, or embeddings [n, K] as X",
            )
        model = self.model if isinstance(self.model, Labram) else Labram.from_pretrained(self.model, device=self.device)
        windows, known = model.prepare(
            *eeg_windows(X, self.channels, self.sfreq, self.unit), on_unknown=self.on_unknown
        )
        kind = AlignmentRecipe(kind=self.alignment)
        embedder = LayerEmbedder(model.model, self.pooling)
        parts = np.empty((len(windows), 0))
        for group in np.unique(of_group):
            rows = np.flatnonzero(of_group == group)
            aligned = alignments.align_request(windows[rows], known.names, kind)
            vectors = embedder(aligned, known.names)[:, 0]
            if not parts.size:
                parts = np.empty((len(windows), vectors.shape[1]))
            parts[rows] = vectors
        return parts


class LabramClassifier(ClassifierMixin, _LabramEstimator):  # type: ignore[misc]
    """Classifier of EEG windows: logistic regression with balanced classes on LaBraM's embeddings.

    X is windows [n, C, samples], an MNE ``Epochs``, or embeddings [n, K] that `LabramEmbedder` computed before: then
    `model` and the settings of the signals are unused, and cross-validation embeds nothing twice.

    Args:
        model: Source for `Labram.from_pretrained`, or a loaded `Labram`; for windows.
        channels: Channel labels of the windows; those of an ``Epochs`` object are its own.
        sfreq: Sampling rate in Hz of an array.
        unit: Unit of an array: uV, mV, V or nV.
        strategy: How the model is adapted: ``probe``.
        pooling: Pooling of a window's tokens, see `labram.recipe.AdaptationRecipe`.
        alignment: Alignment of the windows of each group without labels: ``none``, ``euclidean`` or ``zscore``.
        within_group: Standardise the features within each group without labels.
        penalty: L2 penalty relative to the number of windows; None: chosen by cross-validation over the groups.
        on_unknown: ``raise`` or ``drop``, see `Labram.embed`.
        device: Device of a model that is loaded here.

    Attributes:
        classes_: The labels, sorted.
        penalty_: The penalty.
        cv_score_: Score of the choice on held-out groups: balanced accuracy; None if `penalty` was passed.
        n_features_in_: See scikit-learn.
    """

    def fit(self, X: Any, y: npt.ArrayLike, groups: npt.ArrayLike | None = None) -> Self:
        """Fit the linear model.

        Args:
            X: Windows or embeddings.
            y: Labels [n].
            groups: Subject of each window [n]; None: each window is its own group for the penalty's choice, and all
                are one group for alignment and standardisation.

        Raises:
            RecipeError: If a channel or the strategy is unknown.
            WindowError: If windows are invalid, or no model was passed for them.
            ValueError: If there is a single class, and as scikit-learn's checks raise it.
        """
        X, y = _checked(self, X, y)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"expected labels of at least two classes, got one class: {str(self.classes_[0])!r}")
        binary = len(self.classes_) == 2
        card = self._card("binary" if binary else "multiclass", 1 if binary else len(self.classes_))
        self._fit(X, labels.astype(float), groups, card, "balanced_accuracy")
        return self

    def predict_proba(self, X: Any, groups: npt.ArrayLike | None = None) -> Array:
        """Return the probability of each class [n, classes]; without `groups`, all windows are of one subject."""
        outputs = self._outputs(X, groups)
        probabilities = linear.as_predictions(self.linear_.card.kind, outputs)
        return np.column_stack([1 - probabilities, probabilities]) if probabilities.ndim == 1 else probabilities

    def predict(self, X: Any, groups: npt.ArrayLike | None = None) -> npt.NDArray[Any]:
        """Return the most probable class of each window [n]; see `predict_proba`."""
        most_probable = self.predict_proba(X, groups).argmax(axis=1)
        return np.asarray(self.classes_[most_probable])


class LabramRegressor(RegressorMixin, MultiOutputMixin, _LabramEstimator):  # type: ignore[misc]
    """Regressor of EEG windows: ridge regression on LaBraM's embeddings; see `LabramClassifier` for the parameters."""

    def fit(self, X: Any, y: npt.ArrayLike, groups: npt.ArrayLike | None = None) -> Self:
        """Fit the linear model to targets [n] or [n, M]; see `LabramClassifier.fit`."""
        X, y = _checked(self, X, y, multi_output=True, y_numeric=True)
        targets = y.astype(float).reshape(len(y), -1)
        self._single = y.ndim == 1
        self._fit(X, targets, groups, self._card("regression", targets.shape[1]), "rmse")
        return self

    def predict(self, X: Any, groups: npt.ArrayLike | None = None) -> Array:
        """Return the values [n] or [n, M]; without `groups`, all windows are of one subject."""
        outputs = self._outputs(X, groups)
        return outputs[:, 0] if self._single else outputs


def score_groups(
    kind: Literal["binary", "multiclass", "regression"],
    y: npt.ArrayLike,
    prediction: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    draws: int = _DRAWS,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Return every metric with its 95 % confidence interval from a bootstrap over groups (subjects).

    Args:
        kind: Kind of the task.
        y: Class indices [n], or targets [n, M].
        prediction: Probability of class 1 [n], of each class [n, K], or values [n, M], of held-out windows.
        groups: Subject of each window [n].
        draws: Number of bootstrap draws.
        seed: Seed of the draws.
    """
    values, expected = np.asarray(prediction, float), np.asarray(y, float)
    if kind == "regression":
        values, expected = values.reshape(len(values), -1), expected.reshape(len(expected), -1)
    drawn = bootstrap(groups, draws=draws, seed=seed)
    return estimates(scores(kind, expected, values, drawn), drawn.n_subjects)[0]


def _checked(estimator: _LabramEstimator, X: Any, y: Any, **options: Any) -> tuple[Any, npt.NDArray[Any]]:
    if is_mne(X):
        return X, np.asarray(y)
    shapes = {"allow_nd": True, "ensure_min_samples": 2, "dtype": [np.float64, np.float32]}
    return validate_data(estimator, X, y, **shapes, **options)  # type: ignore[no-any-return]


def _validated(estimator: _LabramEstimator, X: Any, *, reset: bool) -> Any:
    return validate_data(estimator, X, reset=reset, allow_nd=True, dtype=[np.float64, np.float32])


def _group_numbers(groups: npt.ArrayLike | None, windows: int) -> npt.NDArray[np.int64]:
    if groups is None:
        return np.zeros(windows, dtype=np.int64)
    numbers, _ = pd.factorize(np.asarray(groups, dtype=object))
    if len(numbers) != windows:
        raise ValueError(f"expected a group for each of {windows} windows, got {len(numbers)}")
    return np.asarray(numbers, dtype=np.int64)
