"""Labels and predictions of evaluated windows, stored as ``predictions.parquet``."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from labram import checksums
from labram.metrics import Array, Ids

PREDICTIONS_FILE = "predictions.parquet"
OTHERS = ("baseline", "labram", "random")
"""Scores that the model's are compared with."""
_SIDES = ("baseline", "labram")
_FOLDS = ("fold", "repetition")
_BASELINE = "baseline: "
_RANDOM = "random"


@dataclass(frozen=True)
class Predictions:
    """Labels and predictions of windows, row by row.

    Attributes:
        recording_id: Recording of each window [n].
        subject_key: Subject of each window [n].
        start: Start of each window in its recording, in seconds [n].
        y: Class indices [n], or targets [n, M].
        prediction: Predictions of the model, as `labram.metrics.scores` takes them.
        baseline: Predictions of the best baseline; None if no baseline fits the windows.
        labram: Predictions of LaBraM alone, if the model is stacked with the spectral model.
        random: Predictions of the same adaptation of random weights, of each draw; none if it was not made.
        fold: Fold in which the window was tested [n]; None without a cross-validation.
        repetition: Repetition of the cross-validation, in each of which every window has a row [n].
        baselines: Predictions of every baseline, by name.
        group: What stays together with each window's subject, such as a couple, else its subject [n]; None: no groups
            are stated.
    """

    recording_id: np.ndarray
    subject_key: np.ndarray
    start: np.ndarray
    y: Array
    prediction: Array
    baseline: Array | None = None
    labram: Array | None = None
    random: tuple[Array, ...] = ()
    fold: Ids | None = None
    repetition: Ids | None = None
    baselines: Mapping[str, Array] = field(default_factory=dict)
    group: np.ndarray | None = None

    @property
    def units(self) -> np.ndarray:
        """What intervals and tests draw: the group of each window's subject, or its subject [n]."""
        return self.subject_key if self.group is None else self.group

    def with_groups(self, catalogue: pd.DataFrame) -> "Predictions":
        """Return the predictions with the groups that a catalogue states; a subject of two groups joins them.

        Args:
            catalogue: Columns `recording_id`, `subject_key` and `group_key`.
        """
        rows = catalogue[catalogue["recording_id"].isin(set(self.recording_id))]
        grouped = rows[rows["group_key"].fillna("") != ""]
        if grouped.empty:
            return self
        parts: list[set[str]] = []
        for _, members in grouped.groupby("group_key")["subject_key"]:
            tied = [part for part in parts if part & set(members)]
            parts = [part for part in parts if part not in tied] + [set(members).union(*tied)]
        names = {subject: f"group {min(part)}" for part in parts for subject in part}
        return replace(self, group=np.array([names.get(key, key) for key in self.subject_key], dtype=object))

    def write(self, path: Path) -> None:
        """Write a Parquet file with one row per window; labels and predictions are lists."""
        columns: dict[str, object] = {
            "recording_id": self.recording_id.astype(str),
            "subject_key": self.subject_key.astype(str),
            "start": self.start.astype(float),
            "y": _lists(self.y),
            "prediction": _lists(self.prediction),
        }
        columns |= {name: _lists(values) for name in _SIDES if (values := getattr(self, name)) is not None}
        columns |= {f"{_RANDOM}: {draw}": _lists(values) for draw, values in enumerate(self.random)}
        columns |= {f"{_BASELINE}{name}": _lists(values) for name, values in self.baselines.items()}
        columns |= {} if self.group is None else {"group": self.group.astype(str)}
        columns |= {name: values for name in _FOLDS if (values := getattr(self, name)) is not None}
        table = pa.Table.from_pydict(columns).replace_schema_metadata({checksums.KEY: checksums.PLACEHOLDER})
        pq.write_table(table, path)
        checksums.seal(path)

    @property
    def repetitions(self) -> int:
        """Number of repetitions of a cross-validation; 0 without one."""
        return 0 if self.repetition is None else len(np.unique(self.repetition))

    def same_windows(self, other: "Predictions") -> bool:
        """Return whether both are about the same windows with the same labels, in the same order."""
        return (
            len(self.y) == len(other.y)
            and bool(np.array_equal(self.recording_id, other.recording_id))
            and bool(np.allclose(self.start.astype(float), other.start.astype(float)))
            and bool(np.array_equal(self.y.reshape(len(self.y), -1), other.y.reshape(len(other.y), -1)))
            and all(np.array_equal(getattr(self, name), getattr(other, name)) for name in _FOLDS)
        )

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        """Return the predictions that `write` wrote.

        Raises:
            DamagedFileError: If the file was altered.
        """
        table = pq.read_table(pa.BufferReader(checksums.read_checked(path))).to_pandas()
        return cls(
            recording_id=table["recording_id"].to_numpy(dtype=object),
            subject_key=table["subject_key"].to_numpy(dtype=object),
            start=table["start"].to_numpy(dtype=float),
            y=_stacked(table["y"]),
            prediction=_stacked(table["prediction"]),
            group=table["group"].to_numpy(dtype=object) if "group" in table else None,
            fold=table["fold"].to_numpy(dtype=np.int64) if "fold" in table else None,
            repetition=table["repetition"].to_numpy(dtype=np.int64) if "repetition" in table else None,
            baselines={
                str(name).removeprefix(_BASELINE): _stacked(table[name])
                for name in table
                if str(name).startswith(_BASELINE)
            },
            # Records of version 0.1 have one draw of random weights, in a column with their name alone.
            random=tuple(_stacked(table[name]) for name in table if str(name).partition(":")[0] == _RANDOM),
            **{name: _stacked(table[name]) for name in _SIDES if name in table},
        )

    def of_subjects(self, subjects: Collection[str]) -> "Predictions":
        """Return the rows of some subjects."""
        return self.rows(np.flatnonzero(np.isin(self.subject_key.astype(str), list(subjects))))

    def rows(self, indices: Ids) -> "Predictions":
        """Return some rows, in the order of their indices."""
        columns = {name: values[indices] for name, values in vars(self).items() if isinstance(values, np.ndarray)}
        baselines = {name: values[indices] for name, values in self.baselines.items()}
        return replace(self, **columns, baselines=baselines, random=tuple(values[indices] for values in self.random))

    @classmethod
    def joined(cls, parts: Sequence["Predictions"]) -> "Predictions":
        """Return the rows of several parts with the same columns, one part after the other."""
        names = [name for name, values in vars(parts[0]).items() if isinstance(values, np.ndarray)]
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        baselines = {name: np.concatenate([part.baselines[name] for part in parts]) for name in parts[0].baselines}
        random = tuple(map(np.concatenate, zip(*(part.random for part in parts), strict=True)))
        return replace(parts[0], **columns, baselines=baselines, random=random)


def _lists(values: Array) -> list[list[float]]:
    listed: list[list[float]] = np.asarray(values, float).reshape(len(values), -1).tolist()
    return listed


def _stacked(column: "pd.Series[Any]") -> Array:
    stacked = np.stack([np.asarray(row, float) for row in column])
    return stacked[:, 0] if stacked.shape[1] == 1 else stacked
