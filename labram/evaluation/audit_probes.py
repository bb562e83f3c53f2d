"""Probes of an audit: what the embeddings of a task model know besides the task, and what permuted labels give.

All probes are ridge regressions in closed form on embeddings that are computed once, so an audit takes seconds. Their
predictions are out of fold: over subjects for the task, over parts of the recordings for the identity of the subject.

Letters: n windows, K features, T targets.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from labram import metrics
from labram.corpus.catalogue import Corpus
from labram.evaluation.audit import Audit, Null
from labram.evaluation.predictions import Predictions
from labram.evaluation.statistics import finite
from labram.inference.predictor import Predictor
from labram.linear.features import CONSTANT, common_channels, measure
from labram.metrics import Array, Ids
from labram.models import weights
from labram.models.downstream import DownstreamModel
from labram.models.model_input import WindowEmbedder
from labram.recipe import AlignmentRecipe, TaskRecipe
from labram.store.store import Store
from labram.training.data.labelled import LabelledWindows, windows_of_datasets

MOST_WINDOWS = 3000
"""Windows that an audit uses; of more, evenly spaced ones."""
FOLDS = 5
PENALTY = 1.0
"""Ridge penalty relative to the number of windows, for standardised features."""
PERMUTATIONS = 99
ALIGNMENTS = ("none", "zscore", "euclidean")
CALIBRATION_BINS = 10
DATASET_WINDOWS = (40, 5)
"""Recordings of a dataset, and windows of each, for the probe of the dataset."""


def audit_model(
    corpus: Corpus,
    store: Store,
    model: Path,
    task: TaskRecipe,
    predictions: Predictions,
    *,
    seed: int,
    backbone: Path | None = None,
) -> Audit:
    """Audit a task model on all labelled windows of its dataset.

    Args:
        corpus: Judged corpus.
        store: Its patches.
        model: Folder of the task's model.
        task: The task.
        predictions: Predictions of the model for subjects that it has not seen.
        seed: Seed of the permutations.
        backbone: Folder of the backbone before fine-tuning.
    """
    predictor = Predictor(model)
    assert isinstance(predictor.model, DownstreamModel)
    embed = WindowEmbedder(predictor.model, predictor.probe.pooling if predictor.probe else "mean")
    windows = LabelledWindows.load(corpus, store, task, None)
    subjects, positions = _numbers(windows)
    kept = _spread(len(windows))
    windows = windows.rows(kept)
    embeddings = {kind: _embedded(windows, kind, task, embed) for kind in ALIGNMENTS}
    own = embeddings[task.alignment.kind]
    data = _Data(task, np.asarray(windows.y, float), subjects[kept], positions[kept], np.random.default_rng(seed))
    encoder = sum(parameter.numel() for parameter in predictor.model.encoder.parameters())
    parts = predictor.probe.parts if predictor.probe else ()
    error, reliability = _calibration(predictions, task)
    return Audit(
        windows=len(kept),
        subjects=len(np.unique(data.subjects)),
        label_varies_within=data.varies_within,
        subject_variance=data.explained(own, data.subjects),
        label_variance=None if task.kind == "regression" else data.explained(own, data.y.astype(np.int64)),
        identity=data.identity(own),
        task=data.null(own),
        without_subjects=data.score(_centred(own, data.subjects)),
        alignments={kind: data.score(table) for kind, table in embeddings.items()},
        expected_calibration_error=error,
        reliability=reliability,
        by_subject=tuple(sorted(_by(predictions, predictions.subject_key, task).values(), key=_undefined_first)),
        by_montage=_by(predictions, _channel_counts(corpus, predictions), task),
        subject_variance_before=_before(windows, data, task, predictor, backbone),
        dataset=_dataset_identity(windows_of_datasets(corpus, store, task, *DATASET_WINDOWS), predictor.model, seed),
        frozen_parameters=encoder,
        fitted_parameters=sum(part.weights.size + part.bias.size for part in parts),
    )


def _before(
    windows: LabelledWindows, data: "_Data", task: TaskRecipe, predictor: Predictor, backbone: Path | None
) -> Null | None:
    """Return the share of variance that the subject explains in the embeddings of the backbone, before fine-tuning."""
    if backbone is None or predictor.probe is not None:
        return None
    model = weights.backbone_to_downstream(backbone, outputs=1)[0].to(predictor.device)
    table = _embedded(windows, task.alignment.kind, task, WindowEmbedder(model, "mean"))
    return data.explained(table, data.subjects)


def _dataset_identity(windows: LabelledWindows, model: DownstreamModel, seed: int) -> Null | None:
    """Return the accuracy of the dataset of new subjects' windows, beside permuted datasets of subjects."""
    if len(np.unique(windows.y)) < 2:
        return None
    embed = WindowEmbedder(model, "mean")
    parts = [measure([group], group.channels, ("embedding",), embed=embed) for group in windows.window_groups()]
    table = np.concatenate([part.tables["embedding"] for part in parts])
    subjects, _ = pd.factorize(windows.subject_keys.astype(object))
    datasets, random = windows.y.astype(np.int64), np.random.default_rng(seed)
    first = np.unique(subjects, return_index=True)[1]
    orders = [datasets[first], *(random.permutation(datasets[first]) for _ in range(PERMUTATIONS))]
    targets = np.concatenate([np.eye(datasets.max() + 1)[order[subjects]] for order in orders], axis=1)
    # Subjects of a dataset are neighbours: without a shuffle a fold would hold out a dataset.
    outputs = _out_of_fold(table, targets, random.permutation(len(first))[subjects])
    decided = [part.argmax(axis=1) for part in np.split(outputs, len(orders), axis=1)]
    return _null([float(np.mean(each == order[subjects])) for each, order in zip(decided, orders, strict=True)])


@dataclass(frozen=True)
class _Data:
    """Labels of the windows; `positions` number the windows of each subject from 0 to 1."""

    task: TaskRecipe
    y: Array
    subjects: Ids
    positions: Array
    random: np.random.Generator

    @property
    def varies_within(self) -> float:
        labels = pd.Series([tuple(np.atleast_1d(row)) for row in self.y])
        return float((labels.groupby(self.subjects).agg(lambda part: len(set(part))) > 1).mean())

    def score(self, table: Array) -> float | None:
        """Return the headline metric of a ridge probe on new subjects."""
        return finite(self._score(self.y, _out_of_fold(table, self._targets(self.y), self.subjects)))

    def null(self, table: Array) -> Null:
        """Return the same beside those of permuted labels."""
        orders = [np.arange(len(self.y)), *(self._permuted() for _ in range(PERMUTATIONS))]
        stacked = np.concatenate([self._targets(self.y[order]) for order in orders], axis=1)
        outputs = _out_of_fold(table, stacked, self.subjects)
        parts = np.split(outputs, len(orders), axis=1)
        values = [self._score(self.y[order], part) for order, part in zip(orders, parts, strict=True)]
        return _null(values, greater=metrics.greater_is_better(self.task.metric))

    def identity(self, table: Array) -> Null:
        """Return the accuracy of the subject's identity in other parts of the recordings."""
        blocks = np.minimum((self.positions * FOLDS).astype(np.int64), FOLDS - 1)
        outputs = _out_of_fold(table, np.eye(self.subjects.max() + 1)[self.subjects], blocks)
        decided = outputs.argmax(axis=1)
        permuted = [decided == self.random.permutation(self.subjects) for _ in range(PERMUTATIONS)]
        return _null([float(np.mean(right)) for right in (decided == self.subjects, *permuted)])

    def explained(self, table: Array, groups: Ids) -> Null:
        """Return the share of variance that groups of windows explain."""
        spread = table.std(axis=0)
        standard = (table - table.mean(axis=0)) / np.where(spread < CONSTANT, 1.0, spread)
        orders = (groups, *(self.random.permutation(groups) for _ in range(PERMUTATIONS)))
        return _null([_share(standard, order) for order in orders])

    def _permuted(self) -> Ids:
        """Return an order of labels: within subjects where they vary, else of whole subjects."""
        rows = pd.Series(range(len(self.y))).groupby(self.subjects).indices
        order = np.arange(len(self.y))
        if self.varies_within > 0:
            for indices in rows.values():
                order[indices] = self.random.permutation(indices)
            return order
        donors = self.random.permutation(np.unique(self.subjects))
        for subject, donor in zip(rows, donors, strict=True):
            order[rows[subject]] = rows[donor][0]
        return order

    def _targets(self, y: Array) -> Array:
        if self.task.kind == "regression":
            return y.reshape(len(y), -1)
        if self.task.kind == "binary":
            return y.reshape(-1, 1)
        return np.eye(len(self.task.classes))[y.astype(np.int64)]

    def _score(self, y: Array, outputs: Array) -> float:
        prediction = outputs[:, 0] if self.task.kind == "binary" else outputs
        return metrics.score(self.task.metric, self.task.kind, y, prediction)


def _out_of_fold(table: Array, targets: Array, groups: Ids) -> Array:
    """Return ridge predictions [n, T] for groups of windows that each model has not seen."""
    outputs = np.tile(targets.mean(axis=0), (len(targets), 1))
    for train, test in _folds(groups):
        mean, spread = table[train].mean(axis=0), table[train].std(axis=0)
        fitted, held_out = ((table[rows] - mean) / np.where(spread < CONSTANT, 1.0, spread) for rows in (train, test))
        centre = targets[train].mean(axis=0)
        # The dual form: [n, n] instead of [K, K], the same for all targets.
        kernel = fitted @ fitted.T + PENALTY * len(train) * np.eye(len(train))
        outputs[test] = held_out @ (fitted.T @ np.linalg.solve(kernel, targets[train] - centre)) + centre
    return outputs


def _folds(groups: Ids) -> Iterator[tuple[Ids, Ids]]:
    names = np.unique(groups)
    for part in np.array_split(names, min(FOLDS, len(names))):
        inside = np.isin(groups, part)
        if not inside.all():
            yield np.flatnonzero(~inside), np.flatnonzero(inside)


def _share(standard: Array, groups: Ids) -> float:
    counts = np.bincount(groups)
    sums = np.zeros((len(counts), standard.shape[1]))
    np.add.at(sums, groups, standard)
    between = (sums**2 / np.maximum(counts, 1)[:, None]).sum()
    total = (standard**2).sum()
    return float(between / total) if total > 0 else 0.0


def _null(values: list[float], *, greater: bool = True) -> Null:
    value, permuted = values[0], np.array([each for each in values[1:] if np.isfinite(each)])
    if not np.isfinite(value) or not len(permuted):
        return Null(value=finite(value), mean=None, upper=None, p=None)
    better = permuted >= value if greater else permuted <= value
    return Null(
        value=float(value),
        mean=float(permuted.mean()),
        upper=float(np.quantile(permuted, 0.95 if greater else 0.05)),
        p=float((1 + better.sum()) / (1 + len(permuted))),
    )


def _spread(count: int) -> Ids:
    return np.unique(np.linspace(0, count - 1, min(count, MOST_WINDOWS)).round().astype(np.int64))


def _embedded(windows: LabelledWindows, kind: str, task: TaskRecipe, embed: WindowEmbedder) -> Array:
    plain = AlignmentRecipe()
    alignment = (
        plain
        if kind == "none"
        else (task.alignment if task.alignment.kind != "none" else plain).model_copy(update={"kind": kind})
    )
    groups = windows.window_groups(alignment)
    return measure(groups, common_channels(groups), ("embedding",), embed=embed).tables["embedding"]


def _numbers(windows: LabelledWindows) -> tuple[Ids, Array]:
    subjects, _ = pd.factorize(windows.subject_keys.astype(object))
    series = pd.Series(subjects)
    positions = series.groupby(subjects).cumcount() / series.groupby(subjects).transform("size")
    return subjects, positions.to_numpy(dtype=float)


def _centred(table: Array, subjects: Ids) -> Array:
    frame = pd.DataFrame(table)
    return np.asarray(frame - frame.groupby(subjects).transform("mean"))


def _calibration(
    predictions: Predictions, task: TaskRecipe
) -> tuple[float | None, tuple[tuple[float, float, int], ...]]:
    if task.kind == "regression" or not np.isfinite(predictions.prediction).all():
        return None, ()
    probability = predictions.prediction
    if task.kind == "binary":
        probability = np.stack([1 - probability.ravel(), probability.ravel()], axis=1)
    confidence, right = probability.max(axis=1), probability.argmax(axis=1) == predictions.y.ravel()
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    rows = tuple(
        (float(confidence[bins == number].mean()), float(right[bins == number].mean()), int((bins == number).sum()))
        for number in np.unique(bins)
    )
    return sum(abs(mean - accuracy) * count for mean, accuracy, count in rows) / len(right), rows


def _by(predictions: Predictions, names: npt.NDArray[np.object_], task: TaskRecipe) -> dict[str, float | None]:
    return {
        str(name): finite(
            metrics.score(task.metric, task.kind, predictions.y[names == name], predictions.prediction[names == name])
        )
        for name in dict.fromkeys(names)
    }


def _channel_counts(corpus: Corpus, predictions: Predictions) -> npt.NDArray[np.object_]:
    rows = corpus.accepted()
    counts: Mapping[str, int] = dict(zip(rows["recording_id"], rows["montage"].map(len), strict=True))
    return np.array([f"{counts[name]} channels" for name in predictions.recording_id], dtype=object)


def _undefined_first(value: float | None) -> float:
    return -np.inf if value is None else value
