"""The spectral model, the baseline of every task: features of the spectrum and a linear model.

Features, alignment and regularisation are chosen by cross-validation over the subjects that it is fitted to, among:

- log power in the five classical bands, or in 1-Hz bins;
- if the task declares `frequencies`, canonical correlations with them (`labram.linear.periodic_features`), because
  responses at 13, 17 and 21 Hz lie in one band and a few µV of them in the noise of a bin;
- each of these as measured, or standardised within each subject without labels, or, since that does the same work, on
  signals that are aligned as those of the task's LaBraM model. Predictions then depend on which windows of a subject
  are predicted together.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from labram.linear import model
from labram.linear.features import Aligned, FeatureTables, measure
from labram.linear.model import DEFAULT_PENALTY, LinearCard, SelectedModel
from labram.metrics import Array
from labram.recipe import AlignmentRecipe, TaskRecipe

ONE_SUBJECT = "One training subject: features and penalty are the defaults."
FEATURES = ("bands", "bins", "fbcca")
"""Features of the spectral model, see `labram.linear.features.FEATURES`; the last needs `frequencies`."""


def choose(windows: Aligned, y: Array, task: TaskRecipe, channels: tuple[str, ...]) -> SelectedModel:
    """Choose features, alignment and penalty by cross-validation over subjects.

    Args:
        windows: The windows with any alignment.
        y: Class indices [n], or targets [n, M], in the order of the windows.
        task: Task with kind, classes, headline metric, alignment and frequencies.
        channels: Channels to use.
    """
    measured = measure_all(windows, task, channels)
    subjects, _ = pd.factorize(next(iter(measured.values())).subjects)  # by appearance, because keys are random
    chosen = model.choose(candidates(measured, task, channels), np.asarray(y, float), subjects, task.metric)
    if chosen.score is None:
        return chosen._replace(card=chosen.card.model_copy(update={"note": ONE_SUBJECT}))
    return chosen


def measure_all(windows: Aligned, task: TaskRecipe, channels: tuple[str, ...]) -> dict[AlignmentRecipe, FeatureTables]:
    """Measure all features that the task allows, without alignment and with the task's."""
    names = FEATURES if task.frequencies else FEATURES[:2]
    return {
        alignment: measure(windows(alignment), channels, names, frequencies=task.frequencies)
        for alignment in dict.fromkeys((AlignmentRecipe(), task.alignment))
    }


def candidates(
    measured: dict[AlignmentRecipe, FeatureTables], task: TaskRecipe, channels: tuple[str, ...]
) -> Iterator[tuple[LinearCard, Array]]:
    """Yield every spectral model to choose from, with its features [n, K]."""
    for alignment, tables in measured.items():
        for name in (name for name in FEATURES if name in tables.tables):
            if name == "fbcca" and alignment.kind != "none":
                continue  # canonical correlations do not change under an alignment
            for within_subject in (False, True) if alignment.kind == "none" else (False,):
                card = LinearCard(
                    kind=task.kind,
                    features=name,
                    channels=channels,
                    classes=task.outputs,
                    penalty=DEFAULT_PENALTY,
                    within_subject=within_subject,
                    frequencies=task.frequencies if name == "fbcca" else (),
                    alignment=alignment,
                )
                yield card, tables.table(name, within_subject=within_subject)
