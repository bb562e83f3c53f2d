"""Scores of subgroups of the test windows, such as those of one dataset or montage."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from labram import metrics
from labram.evaluation import statistics
from labram.evaluation.predictions import Predictions
from labram.recipe import TaskRecipe

if TYPE_CHECKING:
    import pandas as pd


class Subgroup(NamedTuple):
    """A subgroup and its score on the task's headline metric; None if that is undefined."""

    name: str
    value: float | None
    subjects: int
    windows: int


def groupings(recordings: "pd.DataFrame") -> dict[str, dict[str, str]]:
    """Return the dataset and the montage of each recording.

    Args:
        recordings: Rows of a catalogue.
    """
    montages = (f"{len(names)} channels {names[0]}…{names[-1]}" for names in recordings["montage"])
    ids = recordings["recording_id"]
    return {
        "dataset": dict(zip(ids, recordings["dataset"], strict=True)),
        "montage": dict(zip(ids, montages, strict=True)),
    }


def subgroups(predictions: Predictions, task: TaskRecipe, groups: Mapping[str, Mapping[str, str]]) -> list[Subgroup]:
    """Return the score of every subgroup, the worst first. Groupings with a single group say nothing and are left out.

    Args:
        predictions: Predictions on the test windows.
        task: The task, which names the metric.
        groups: By name of a grouping, such as ``montage``: the group of each recording.
    """
    found = []
    for grouping, of_recording in groups.items():
        names = np.array([of_recording.get(str(recording), "unknown") for recording in predictions.recording_id])
        if len(set(names.tolist())) < 2:
            continue
        for name in sorted(set(names.tolist())):
            rows = names == name
            value = statistics.single_scores(task.kind, predictions.y[rows], predictions.prediction[rows])[task.metric]
            subjects = len(set(predictions.subject_key[rows].tolist()))
            defined = float(value) if np.isfinite(value) else None
            found.append(Subgroup(f"{grouping} {name}", defined, subjects, int(rows.sum())))
    sign = 1 if metrics.greater_is_better(task.metric) else -1
    return sorted(found, key=lambda group: np.inf if group.value is None else sign * group.value)
