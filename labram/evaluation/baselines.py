"""The baselines of an evaluation, without LaBraM, stored beside the model: linear models of features, and networks.

``spectral`` is stored as ``baseline.json`` and ``baseline.npz``, another linear model as ``baseline-NAME.json`` and
``.npz``. Networks: see `labram.evaluation.network_baselines`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, get_args

import numpy as np
import pandas as pd

from labram.evaluation import network_baselines
from labram.evaluation.network_baselines import NetworkBaseline
from labram.linear import model, riemann, spectral
from labram.linear.features import Aligned, FeatureTables, measure
from labram.linear.model import LinearCard, LinearModel, SelectedModel, as_predictions
from labram.linear.probe import combined, part_outputs
from labram.metrics import Array, Ids, greater_is_better, score
from labram.recipe import AlignmentRecipe, LinearName, NetworkName, TaskRecipe

NETWORK_NAMES: Final[tuple[NetworkName, ...]] = get_args(NetworkName)
TANGENTS: Final[Mapping[str, str]] = {"riemann": "tangent", "riemann-bands": "tangent-bands"}
"""Features of the Riemannian baselines."""


@dataclass(frozen=True)
class BaselineFeatures:
    """Features of the same windows for all linear baselines of a task.

    Attributes:
        task: The task.
        channels: Channels that were measured.
        y: Class indices [n], or targets [n, M].
        subjects: Subject of each window, numbered by appearance [n].
        tables: Features by alignment.
    """

    task: TaskRecipe
    channels: tuple[str, ...]
    y: Array
    subjects: Ids
    tables: Mapping[AlignmentRecipe, FeatureTables]

    @classmethod
    def measure(cls, windows: Aligned, y: Array, task: TaskRecipe, channels: tuple[str, ...]) -> "BaselineFeatures":
        """Measure what the baselines of a task may use, without alignment and with the task's.

        Args:
            windows: The windows with any alignment.
            y: Class indices [n], or targets [n, M], in the order of the windows.
            task: Task with kind, classes, headline metric, alignment, frequencies and baselines.
            channels: Channels to use.
        """
        spectra = "spectral" in task.baselines or task.adaptation.stack or not linear_names(task)
        tables = spectral.measure_all(windows, task, channels) if spectra else {}
        names = [TANGENTS[name] for name in task.baselines if name in TANGENTS]
        if names:
            plain = AlignmentRecipe()
            tangents = measure(windows(plain), channels, names, frequencies=task.frequencies)
            before = tables[plain].tables if plain in tables else {}
            tables = tables | {plain: FeatureTables(before | tangents.tables, tangents.subjects)}
        subjects, _ = pd.factorize(next(iter(tables.values())).subjects)  # by appearance, because keys are random
        return cls(task, channels, np.asarray(y, float), subjects, tables)

    def choose(self, name: LinearName, rows: Ids | None = None, inner: Ids | None = None) -> SelectedModel:
        """Choose a baseline's features and penalty by cross-validation.

        Args:
            name: The baseline.
            rows: Indices of the windows; None: all.
            inner: Groups of these windows that its folds must not divide; None: the subjects.
        """
        rows = np.arange(len(self.y)) if rows is None else rows
        measured = {alignment: tables.rows(rows) for alignment, tables in self.tables.items()}
        if name == "spectral":
            candidates = spectral.candidates(measured, self.task, self.channels)
        else:
            plain = measured[AlignmentRecipe()]
            candidates = riemann.candidates(plain, self.task, self.channels, TANGENTS[name])
        inner = pd.factorize(self.subjects[rows])[0] if inner is None else inner
        chosen = model.choose(candidates, self.y[rows], inner, self.task.metric)
        if chosen.score is None:
            return chosen._replace(card=chosen.card.model_copy(update={"note": spectral.ONE_SUBJECT}))
        return chosen


@dataclass(frozen=True)
class Baseline:
    """A fitted linear baseline."""

    model: LinearModel

    @property
    def card(self) -> LinearCard:
        """Kind, features and settings of the model."""
        return self.model.card

    @property
    def name(self) -> LinearName:
        """Name in recipes."""
        features = {feature: name for name, feature in TANGENTS.items()}
        return next((name for name in get_args(LinearName) if name == features.get(self.card.features)), "spectral")

    def predict(self, windows: Aligned) -> Array:
        """Return predictions in the form that `labram.metrics.scores` takes.

        Args:
            windows: The windows with any alignment; all windows of each subject if features are standardised within.

        Raises:
            LabelError: If a montage lacks a channel that the baseline was fitted on.
        """
        return as_predictions(self.card.kind, part_outputs(self.model, windows))

    def save(self, folder: Path) -> None:
        """Write its description and its arrays."""
        name = _stem(self.name)
        np.savez(folder / f"{name}.npz", allow_pickle=False, **self.model.arrays())
        (folder / f"{name}.json").write_text(self.card.to_json() + "\n", encoding="utf-8")


AnyBaseline = Baseline | NetworkBaseline


def linear_names(task: TaskRecipe) -> tuple[LinearName, ...]:
    """Return the linear baselines of a task."""
    return tuple(name for name in get_args(LinearName) if name in task.baselines)


def network_names(task: TaskRecipe) -> tuple[NetworkName, ...]:
    """Return the networks among the baselines of a task."""
    return tuple(name for name in NETWORK_NAMES if name in task.baselines)


def fit_all(windows: Aligned, y: Array, task: TaskRecipe, channels: tuple[str, ...]) -> list[AnyBaseline]:
    """Choose and fit every baseline of a task; see `BaselineFeatures.measure` for the arguments."""
    fitted: dict[str, AnyBaseline] = {}
    if linear_names(task):
        features = BaselineFeatures.measure(windows, y, task, channels)
        fitted |= {
            name: Baseline(_calibrated(features.choose(name), features.y, task.kind)) for name in linear_names(task)
        }
    if networks := network_names(task):
        groups = windows(task.alignment)
        signals = network_baselines.gather(groups, channels, network_baselines.samples_of(task))
        subjects, _ = pd.factorize(np.concatenate([np.asarray(group.subjects, dtype=object) for group in groups]))
        arguments = signals, np.asarray(y, float), subjects, task, channels
        fitted |= {name: network_baselines.train(name, *arguments) for name in networks}
    return [fitted[name] for name in task.baselines]


def _calibrated(chosen: SelectedModel, y: Array, kind: str) -> LinearModel:
    """Fit a model whose outputs have the scale that suits its out-of-fold outputs, as those of probes have."""
    probe, _ = combined([chosen], y, kind)
    fitted, factor = probe.parts[0], probe.card.weights[0]
    bias = np.where(np.isfinite(fitted.bias), fitted.bias * factor, fitted.bias) + np.asarray(probe.card.offset)
    return replace(fitted, weights=fitted.weights * factor, bias=bias)


def load_all(folder: Path) -> list[AnyBaseline]:
    """Return the baselines in a folder."""
    networks = (NetworkBaseline.load(folder, name) for name in NETWORK_NAMES)
    return [*_linear(folder), *(network for network in networks if network)]


def _linear(folder: Path) -> Iterator[Baseline]:
    for name in get_args(LinearName):
        stem = _stem(name)
        if (folder / f"{stem}.json").is_file():
            card = LinearCard.from_json((folder / f"{stem}.json").read_text(encoding="utf-8"))
            with np.load(folder / f"{stem}.npz", allow_pickle=False) as arrays:
                yield Baseline(LinearModel.of(card, arrays))


def _stem(name: str) -> str:
    return "baseline" if name == "spectral" else f"baseline-{name}"


def best(task: TaskRecipe, y: Array, predictions: Mapping[str, Array]) -> str:
    """Return the name of the baseline with the best headline metric on the evaluated windows.

    The choice knows the labels of the test windows, which favours the baseline over the model that is compared with it.
    """

    def signed(name: str) -> float:
        value = score(task.metric, task.kind, y, predictions[name])
        return -np.inf if not np.isfinite(value) else value if greater_is_better(task.metric) else -value

    return max(predictions, key=signed)
