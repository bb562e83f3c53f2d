"""Explanation of a model's predictions for one recording: the scores that `labram.inference.occlusion` compares.

Letters: n windows, C channels.
"""

from copy import copy

import numpy as np
import torch

from labram.errors import MisfitWeightsError, RecipeError
from labram.inference.embedder import LayerEmbedder
from labram.inference.occlusion import Explanation, explain
from labram.inference.predict_recordings import TaskModel
from labram.inference.predictor import Predictor
from labram.inference.signal_checks import Signals
from labram.inference.unlabelled import UnlabelledWindows
from labram.linear.features import WindowGroup
from labram.metrics import Array
from labram.models.downstream import DownstreamModel
from labram.recipe import AlignmentRecipe, TaskRecipe
from labram.signals import alignment as alignments

_SMALLEST_PROBABILITY = 1e-6


def class_index(task: TaskRecipe, name: str) -> int:
    """Return the index of the class, or target, that is explained: by default class 1 of two, else the first.

    Raises:
        RecipeError: If the task has no class of that name.
    """
    if not name:
        return 1 if task.kind == "binary" else 0
    if name not in task.classes:
        raise RecipeError(
            f"the task {task.name} has no class {name!r}",
            field="class",
            remedy=f"Choose from {', '.join(task.classes)}",
        )
    return task.classes.index(name)


def explain_recording(model: TaskModel, windows: UnlabelledWindows, *, name: str = "", limit: int = 32) -> Explanation:
    """Explain the predictions for a recording.

    Args:
        model: The model.
        windows: Windows of one recording.
        name: Class or target; see `class_index`.
        limit: Most windows, evenly from the recording.

    Raises:
        MisfitWeightsError: If the model is no downstream model.
        RecipeError: If there is no such class.
    """
    network = model.predictor.model
    if not isinstance(network, DownstreamModel):
        raise MisfitWeightsError("the model has no head", file=model.served.model, remedy="Name a task model")
    index = class_index(model.task, name)
    (group,) = windows.windows.window_groups(AlignmentRecipe())
    recorded = np.concatenate(list(group.signals))
    shown = recorded[np.unique(np.linspace(0, len(recorded) - 1, limit).round().astype(int))]
    scored = _Scored(model.predictor, model.task, group.channels, recorded, shown, index)
    untrained = _Scored(_untrained(model.predictor, network), model.task, group.channels, recorded, shown, index)
    embedder = LayerEmbedder(network, "mean")
    aligned = alignments.fit([recorded], model.predictor.alignment)
    return explain(
        shown,
        group.channels,
        scored,
        random=untrained,
        embed=lambda signals: embedder(aligned.apply(signals), group.channels)[:, 0],
    )


class _Scored:
    """Score of a class: the log odds of its probability, or a value.

    Windows without something are scored together with the whole ones, because features may be standardised over all
    windows of a subject; alignments are always those of the whole recording.
    """

    def __init__(
        self,
        predictor: Predictor,
        task: TaskRecipe,
        channels: tuple[str, ...],
        recorded: Signals,
        shown: Signals,
        index: int,
    ) -> None:
        self._predictor, self._task, self._channels = predictor, task, channels
        self._recorded, self._shown, self._index = recorded, shown, index

    def __call__(self, signals: Signals) -> Array:
        both = np.concatenate([self._shown, signals])

        def aligned(settings: AlignmentRecipe) -> list[WindowGroup]:
            fitted = alignments.fit([self._recorded], settings)
            return [WindowGroup([fitted.apply(both)], self._channels, [""] * len(both))]

        values = np.asarray(self._predictor.predict_windows(aligned), dtype=np.float64)[len(self._shown) :]
        if self._task.kind == "regression":
            return np.asarray(values[:, self._index])
        chosen = values[:, self._index] if values.ndim == 2 else values if self._index == 1 else 1 - values
        p = np.clip(chosen, _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
        return np.asarray(np.log(p / (1 - p)))


def _untrained(predictor: Predictor, network: DownstreamModel, seed: int = 0) -> Predictor:
    """Return a predictor with the same head or probe on random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = DownstreamModel(network.config, network.outputs, pooling=network.pooling)
    untrained = copy(predictor)
    untrained.model = fresh.eval().to(predictor.device)
    return untrained
