"""Probe a backbone and draws of random weights on the subjects of a task, each predicted by probes of others."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from labram.evaluation.predictions import Predictions
from labram.evaluation.random_weights import draws, untrained
from labram.input_spec import SAMPLE_RATE_HZ
from labram.linear import model as linear
from labram.linear.features import WindowGroup, common_channels, measure
from labram.linear.model import as_predictions
from labram.metrics import Array
from labram.models.downstream import DownstreamModel
from labram.models.model_input import WindowEmbedder
from labram.recipe import TaskRecipe
from labram.training.data.labelled import LabelledWindows, all_groups
from labram.training.probe_stage import probe_card


class Probed(NamedTuple):
    """Predictions of a probe of one model's frozen embeddings, as `labram.metrics.scores` takes them.

    Attributes:
        everyone: Of all windows, each by a probe of other subjects; None with one subject.
        held_out: Of the windows that are not for training, by a probe of those that are.
    """

    everyone: Array | None
    held_out: Array


def probe(
    model: DownstreamModel,
    groups: Sequence[WindowGroup],
    y: Array,
    task: TaskRecipe,
    *,
    training: int,
    channels: tuple[str, ...],
) -> Probed:
    """Probe a model as the task's adaptation does, with a penalty that is chosen by cross-validation over subjects.

    Args:
        model: The model, on any device.
        groups: Windows with the task's alignment; those for training first.
        y: Class indices [n], or targets [n, M].
        task: Task with pooling and standardisation of its adaptation.
        training: Number of windows for training.
        channels: Channels to use.
    """
    y = np.asarray(y, float)
    card, embed = probe_card(task, channels), WindowEmbedder(model, task.adaptation.pooling)
    tables = measure(groups, channels, ("embedding",), embed=embed)
    table = tables.table("embedding", within_subject=card.within_subject)
    subjects, _ = pd.factorize(tables.subjects)  # by appearance, because keys are random
    everyone = linear.choose([(card, table)], y, subjects, task.metric).out_of_fold
    chosen = linear.choose([(card, table[:training])], y[:training], subjects[:training], task.metric)
    held_out = linear.fit(chosen.table, y[:training], chosen.card).outputs(table[training:])
    kind = task.kind
    return Probed(None if everyone is None else as_predictions(kind, everyone), as_predictions(kind, held_out))


def probe_twins(
    model: DownstreamModel,
    fitted_to: Sequence[LabelledWindows],
    test: LabelledWindows | None,
    task: TaskRecipe,
    seed: int,
) -> tuple[Predictions | None, tuple[Array, ...]]:
    """Probe a model and draws of random weights with its dimensions.

    Args:
        model: The frozen model, on any device.
        fitted_to: Windows for training.
        test: Windows of test subjects; None in a cross-validation.
        task: The task.
        seed: Seed of the first draw.

    Returns:
        Predictions of every subject by probes of others (None with one subject), and predictions of the test windows
        by probes of random weights.
    """
    parts = [*fitted_to, *([test] if test is not None else ())]
    groups, y = all_groups(parts)(task.alignment), np.concatenate([part.y for part in parts])
    channels, training = common_channels(groups), sum(map(len, fitted_to))
    count = draws(groups, task.seconds)
    models = (model, *(untrained(model, seed + draw) for draw in range(count)))
    first, *others = (probe(each, groups, y, task, training=training, channels=channels) for each in models)
    if first.everyone is None:
        return None, tuple(other.held_out for other in others)
    names = [np.concatenate([getattr(part, name) for part in parts]) for name in ("recording_ids", "subject_keys")]
    recordings, subjects = (each.astype(object) for each in names)
    random = tuple(other.everyone for other in others if other.everyone is not None)
    starts = np.concatenate([group.starts for part in parts for group in part.groups]) / SAMPLE_RATE_HZ
    twins = Predictions(recordings, subjects, starts, y, first.everyone, random=random)
    return twins, tuple(other.held_out for other in others)
