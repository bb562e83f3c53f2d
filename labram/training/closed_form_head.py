"""The first stage of the strategy ``two-stage``: a model's head in closed form, from frozen features.

Kumar et al., ICLR 2022: fine-tuning from a random head distorts features that a fitted head would keep.

Letters: n windows, K features, O outputs.
"""

import numpy as np
import pandas as pd
import torch

from labram.linear import model as linear
from labram.linear.features import CONSTANT
from labram.linear.model import CERTAIN, DEFAULT_PENALTY, LinearCard
from labram.metrics import Array
from labram.models.downstream import DownstreamModel
from labram.training.data.labelled import LabelledWindows
from labram.training.objectives.objective import batch_to_device
from labram.training.task_metadata import TaskMetadata


def fit_head(model: DownstreamModel, windows: LabelledWindows, metadata: TaskMetadata) -> None:
    """Fit ridge or balanced logistic regression to what the head reads, and write it into the head.

    The penalty is chosen by cross-validation over the subjects of the windows.

    Args:
        model: The model, in place, on any device.
        windows: Training windows.
        metadata: The task, with mean and SD of its targets.
    """
    task, y = metadata.recipe, windows.y
    features = _features(model, windows, task.batch)
    varied = features.std(axis=0) > CONSTANT  # of electrodes that are absent, nothing is
    card = LinearCard(kind=task.kind, features="embedding", channels=(), classes=task.outputs, penalty=DEFAULT_PENALTY)
    subjects, _ = pd.factorize(windows.subject_keys.astype(object))
    chosen = linear.choose([(card, features[:, varied])], y, subjects, task.metric)
    fitted = linear.fit(chosen.table, y, chosen.card)
    weights_KO = np.zeros((features.shape[1], task.outputs))
    weights_KO[varied] = fitted.weights / fitted.scale[:, None]
    bias_O = np.clip(fitted.bias, -CERTAIN, CERTAIN) - fitted.mean @ weights_KO[varied]
    if task.kind == "regression":
        sd = np.asarray(metadata.target_sd)
        weights_KO, bias_O = weights_KO / sd, (bias_O - np.asarray(metadata.target_mean)) / sd
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(weights_KO.T))
        model.head.bias.copy_(torch.from_numpy(bias_O))


@torch.no_grad()
def _features(model: DownstreamModel, windows: LabelledWindows, batch: int) -> Array:
    model.eval()
    parts = [model.features(*batch_to_device(model, part)).double().cpu() for part in windows.batches(batch)]
    return torch.cat(parts).numpy()
