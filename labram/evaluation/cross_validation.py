"""Cross-validation of a task in closed form: every window is predicted by models that were fitted to other folds.

In each fold, penalties, the features of baselines, and the weights of a stack are chosen on inner folds of the training
windows. Features are measured once: none of them depends on other subjects.

Letters: n windows, O outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from labram.corpus.catalogue import Corpus
from labram.errors import RecipeError
from labram.evaluation import network_baselines
from labram.evaluation.baselines import BaselineFeatures, best, linear_names, network_names
from labram.evaluation.folds import Fold, folds_of
from labram.evaluation.predictions import Predictions
from labram.evaluation.random_weights import draws, untrained
from labram.inference.predictor import Predictor
from labram.input_spec import SAMPLE_RATE_HZ
from labram.linear import model as linear
from labram.linear.features import FeatureTables, Signals, common_channels, measure
from labram.linear.model import SelectedModel, as_predictions
from labram.linear.probe import combined
from labram.metrics import Array, Ids
from labram.models.downstream import DownstreamModel
from labram.models.model_input import WindowEmbedder
from labram.recipe import LinearName, NetworkName, TaskRecipe
from labram.store.store import Store
from labram.training.data.labelled import LabelledWindows
from labram.training.probe_stage import probe_card


@dataclass(frozen=True)
class TaskFeatures:
    """All features of a task's windows.

    Attributes:
        baselines: Features of the baselines, with labels and subjects.
        embeddings: Embeddings with the task's alignment, by the name of the model: ``labram``, ``random 0`` and so on.
        signals: Windows for networks in µV with the task's alignment [n, C, T]; None without networks.
    """

    baselines: BaselineFeatures
    embeddings: dict[str, FeatureTables]
    signals: Signals | None = None

    @property
    def task(self) -> TaskRecipe:
        """The task."""
        return self.baselines.task

    @classmethod
    def measure(cls, windows: LabelledWindows, task: TaskRecipe, models: dict[str, DownstreamModel]) -> "TaskFeatures":
        """Measure the features that a probe of the task and its baselines use.

        Args:
            windows: All windows of the task.
            task: The task.
            models: Models on any device, by name.
        """
        channels = common_channels(windows.window_groups())
        embeddings = {
            name: measure(
                windows.window_groups(task.alignment),
                channels,
                ("embedding",),
                embed=WindowEmbedder(model, task.adaptation.pooling),
            )
            for name, model in models.items()
        }
        features = BaselineFeatures.measure(windows.window_groups, windows.y, task, channels)
        if not network_names(task):
            return cls(features, embeddings)
        groups = windows.window_groups(task.alignment)
        return cls(features, embeddings, network_baselines.gather(groups, channels, network_baselines.samples_of(task)))

    def predict_network(self, name: NetworkName, fold: Fold) -> Array:
        """Return the predictions of a network for a fold's test windows, trained on its training windows."""
        assert self.signals is not None, "networks"
        train, y, channels = fold.train, self.baselines.y, self.baselines.channels
        network = network_baselines.train(name, self.signals[train], y[train], fold.inner, self.task, channels)
        return network.predict_signals(self.signals[fold.test])

    def choose_probe(self, model: str, fold: Fold) -> SelectedModel:
        """Choose the penalty of a probe of one model's embeddings on the training windows of a fold."""
        train = fold.train
        card = probe_card(self.task, self.baselines.channels)
        table = self.embeddings[model].rows(train).table("embedding", within_subject=card.within_subject)
        return linear.choose([(card, table)], self.baselines.y[train], fold.inner, self.task.metric)

    def predict(self, parts: Sequence[tuple[SelectedModel, str]], train: Ids, test: Ids) -> Array:
        """Return predictions for the windows `test` by the sum of parts that were chosen on the windows `train`.

        Args:
            parts: The parts, each with the name of its model; empty for a baseline.
            train: Indices of windows.
            test: Indices of windows.
        """
        probe, _ = combined([chosen for chosen, _ in parts], self.baselines.y[train], self.task.kind)
        outputs = []
        for part, (_, model) in zip(probe.parts, parts, strict=True):
            tables = self.embeddings[model] if model else self.baselines.tables[part.card.alignment]
            table = tables.rows(test).table(part.card.features, within_subject=part.card.within_subject)
            outputs.append(part.outputs(table))
        return as_predictions(self.task.kind, probe.added(outputs))


def cross_validate(
    corpus: Corpus, store: Store, model: Path, task: TaskRecipe, *, seed: int | None, device: str | None = None
) -> Predictions:
    """Return out-of-fold predictions of a task model's probe, its parts, its baseline and random weights.

    Only the frozen LaBraM of `model` is used, whose weights no label has touched. Its probe is fitted in each fold.

    Args:
        corpus: Cross-validated corpus.
        store: Its patches.
        model: Folder of the task's model.
        task: Task with the alignment and adaptation of the model.
        seed: Seed of random weights; None: only predictions of the model, with nothing beside them.
        device: Device of the model, see `labram.training.device.select_device`.

    Raises:
        RecipeError: If the model is no probe: its weights have seen the labels of all subjects.
    """
    predictor = Predictor(model, device=device)
    if predictor.probe is None:
        raise RecipeError(
            "the model is not a probe, and only a probe can be refitted in each fold",
            field="adaptation.strategy",
            remedy="Set adaptation.strategy: probe, or split.kind: holdout",
        )
    assert isinstance(predictor.model, DownstreamModel)
    windows = LabelledWindows.load(corpus, store, task, None)
    models = {"labram": predictor.model}
    if seed is not None:
        count = draws(windows.window_groups(), task.seconds)
        models |= {f"random {draw}": untrained(predictor.model, seed + draw) for draw in range(count)}
    features = TaskFeatures.measure(windows, task, models)
    folds = folds_of(corpus, windows, task.dataset)
    parts = [_predicted(windows, features, fold, beside=seed is not None) for fold in folds]
    return joined(parts, task)


def _predicted(windows: LabelledWindows, features: TaskFeatures, fold: Fold, *, beside: bool) -> Predictions:
    """Return the predictions of one fold; `beside` them those of baselines, LaBraM alone and random weights."""
    train, test, task = fold.train, fold.test, features.task
    stacked = task.adaptation.stack
    parts = [(features.choose_probe("labram", fold), "labram")]
    wanted: list[LinearName] = [*(linear_names(task) if beside else ()), *(("spectral",) if stacked else ())]
    bases = {name: [(features.baselines.choose(name, train, fold.inner), "")] for name in dict.fromkeys(wanted)}
    random = [[(features.choose_probe(name, fold), name)] for name in features.embeddings if name != "labram"]
    predicted: dict[str, Array] = {}
    predicted |= {name: features.predict(bases[name], train, test) for name in linear_names(task)} if beside else {}
    predicted |= {name: features.predict_network(name, fold) for name in network_names(task)} if beside else {}
    starts = np.concatenate([group.starts for group in windows.groups]) / SAMPLE_RATE_HZ
    return Predictions(
        recording_id=windows.recording_ids.astype(object)[test],
        subject_key=windows.subject_keys.astype(object)[test],
        start=starts[test],
        y=windows.y[test],
        prediction=features.predict([*parts, *bases["spectral"]] if stacked else parts, train, test),
        labram=features.predict(parts, train, test) if beside and stacked else None,
        random=tuple(features.predict(twin, train, test) for twin in random),
        fold=np.full(len(test), fold.number),
        repetition=np.full(len(test), fold.repetition),
        baselines={name: predicted[name] for name in task.baselines} if beside else {},
    )


def joined(parts: Sequence[Predictions], task: TaskRecipe) -> Predictions:
    """Return the predictions of all folds, in the order of repetitions, recordings and windows."""
    rows = Predictions.joined(parts)
    assert rows.repetition is not None, "folds"
    rows = rows.rows(np.lexsort((rows.start, rows.recording_id.astype(str), rows.repetition)))
    return with_best_baseline(rows, task)


def with_best_baseline(predictions: Predictions, task: TaskRecipe) -> Predictions:
    """Return predictions whose column `baseline` is that of the best baseline."""
    if not predictions.baselines:
        return predictions
    name = best(task, predictions.y, predictions.baselines)
    return replace(predictions, baseline=predictions.baselines[name])
