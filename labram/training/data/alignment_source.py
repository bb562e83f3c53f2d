"""Windows of a subject that its alignment is computed from: those of the task, unlabelled signal, or rest."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labram.corpus.catalogue import Corpus, Split
from labram.errors import RecipeError
from labram.recipe import REST, TaskRecipe


@dataclass(frozen=True)
class SourceWindows:
    """Windows of one montage, read from the store on demand.

    Attributes:
        subject_keys: Subject of each window [n].
        keys: Key in the store of each window's recording [n].
        starts: First sample of each window in its recording, at 200 Hz [n].
    """

    subject_keys: NDArray[np.str_]
    keys: NDArray[np.str_]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, table: pd.DataFrame) -> "SourceWindows":
        """Return the windows of a table with one row for each."""
        return cls(
            table["subject_key"].to_numpy(dtype=np.str_),
            table["store_key"].to_numpy(dtype=np.str_),
            table["first_sample"].to_numpy(dtype=np.int64),
        )

    def of_subject(self, subject: str, most: int | None) -> NDArray[np.int64]:
        """Return the indices of a subject's windows, the first in their recordings, at most `most`."""
        indices = np.flatnonzero(self.subject_keys == subject)
        if most is None:
            return indices
        return np.sort(indices[np.lexsort((self.keys[indices], self.starts[indices]))][:most])


def windows_needed(task: TaskRecipe) -> int | None:
    """Return the number of windows of a subject that its alignment is computed from; None: all."""
    return None if task.alignment.seconds is None else -(-task.alignment.seconds // task.seconds)


def is_calibration(table: pd.DataFrame, labels: NDArray[np.float64], task: TaskRecipe) -> NDArray[np.bool_]:
    """Return which windows are for an alignment on rest: the first of each subject and montage with the label *rest*.

    Args:
        table: One row per window.
        labels: Their class indices [n].
        task: The task.
    """
    marked = np.zeros(len(table), bool)
    if task.alignment.source != "rest":
        return marked
    rest = table[labels == task.classes.index(REST)].assign(montage=lambda rows: rows["montage"].map(tuple))
    first = rest.sort_values(["first_sample", "recording_id"], kind="stable").groupby(["subject_key", "montage"])
    marked[first.head(windows_needed(task)).index.to_numpy()] = True
    return marked


def unlabelled_intervals(corpus: Corpus, task: TaskRecipe, split: Split | None) -> pd.DataFrame:
    """Return the intervals of a dataset's accepted recordings that have no label of the task, as `Corpus.intervals`."""
    labelled = corpus.intervals(task.name, split, task.dataset)
    spans = {
        name: sorted(zip(rows["start"], rows["seconds"], strict=True))
        for name, rows in labelled.groupby("recording_id")
    }
    rows = corpus.accepted(split, task.dataset).rename(columns={"seconds": "recording_seconds"})
    found = [
        row | {"start": start, "seconds": end - start}
        for row in rows.to_dict("records")
        for start, end in _gaps(spans.get(row["recording_id"], []), float(row["recording_seconds"]))
    ]
    return pd.DataFrame(found, columns=[*rows.columns, "start", "seconds"])


def _gaps(spans: list[tuple[float, float]], seconds: float) -> Iterator[tuple[float, float]]:
    reached = 0.0
    for start, length in spans:
        if start > reached:
            yield reached, start
        reached = max(reached, start + length)
    if seconds > reached:
        yield reached, seconds


def check_seconds(channels: int, task: TaskRecipe) -> None:
    """Check that an alignment on a stated number of seconds can be computed for a montage.

    Raises:
        RecipeError: If it needs more.
    """
    seconds = task.alignment.seconds
    if task.alignment.kind == "euclidean" and seconds is not None and seconds < channels:
        raise RecipeError(
            f"Euclidean alignment of {channels} channels needs {channels} s of each subject, not {seconds} s",
            field=f"tasks.{task.name}.alignment.seconds",
            remedy=f"Set it to {channels} or more, or choose kind: zscore",
        )
