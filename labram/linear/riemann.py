"""Riemannian baselines: linear models of tangent vectors of covariances, chosen by cross-validation over subjects.

They are computed without the alignment of a LaBraM model: either as measured, or recentred within each subject without
labels, which is the Riemannian counterpart of Euclidean alignment.
"""

from collections.abc import Iterator

from labram.linear.features import FeatureTables
from labram.linear.model import DEFAULT_PENALTY, LinearCard
from labram.metrics import Array
from labram.recipe import TaskRecipe


def candidates(
    tables: FeatureTables, task: TaskRecipe, channels: tuple[str, ...], features: str
) -> Iterator[tuple[LinearCard, Array]]:
    """Yield the models of one feature to choose from, with its table [n, K].

    Args:
        tables: Features without alignment.
        task: Kind, classes and frequencies.
        channels: Channels that were measured.
        features: ``tangent`` or ``tangent-bands``.
    """
    for recentred in (False, True):
        card = LinearCard(
            kind=task.kind,
            features=features,
            channels=channels,
            classes=task.outputs,
            penalty=DEFAULT_PENALTY,
            within_subject=recentred,
            frequencies=task.frequencies if features == "tangent-bands" else (),
        )
        yield card, tables.table(features, within_subject=recentred)
