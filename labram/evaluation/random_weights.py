"""The twin of a probe: the same adaptation of random weights, to measure what pre-training added."""

from collections.abc import Sequence

import numpy as np
import torch

from labram.events import NullMonitor
from labram.inference.predictor import Predictor
from labram.linear import model as linear
from labram.linear.model import as_predictions
from labram.linear.probe import part_outputs
from labram.metrics import Array
from labram.models.downstream import DownstreamModel
from labram.models.model_input import WindowEmbedder
from labram.recipe import TaskRecipe
from labram.training.data.labelled import LabelledWindows, all_groups
from labram.training.device import prepare_model
from labram.training.probe_stage import choose_penalty


def predict_untrained(
    predictor: Predictor, fitted_to: Sequence[LabelledWindows], test: LabelledWindows, task: TaskRecipe, seed: int
) -> Array | None:
    """Return predictions of LaBraM's part of a probe, fitted in the same way to embeddings of random weights.

    Args:
        predictor: The model.
        fitted_to: Windows that its probe was fitted to.
        test: Windows to predict.
        task: The task.
        seed: Seed of the weights.

    Returns:
        Predictions as `labram.metrics.scores` takes them; None if the model has no probe.
    """
    if predictor.probe is None:
        return None
    channels = predictor.probe.card.parts[0].channels
    embed = WindowEmbedder(untrained(predictor, seed), predictor.probe.pooling)
    y = np.concatenate([part.y for part in fitted_to])
    chosen = choose_penalty(all_groups(fitted_to), y, task, channels, embed, NullMonitor())
    fitted = linear.fit(chosen.table, y, chosen.card)
    return as_predictions(task.kind, part_outputs(fitted, test.window_groups, embed))


def untrained(predictor: Predictor, seed: int) -> DownstreamModel:
    """Return a model of the predictor's dimensions with random weights, on its device."""
    assert isinstance(predictor.model, DownstreamModel)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DownstreamModel(predictor.model.config, predictor.model.outputs)
    prepare_model(model)
    return model.to(predictor.device)
