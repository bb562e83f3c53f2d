"""Labelled windows of a task: cut consecutively from labelled intervals, grouped by montage, and read lazily.

Shape letters: n windows, N channels, A seconds, M regression targets.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labram.corpus.catalogue import Corpus, Split
from labram.errors import CorpusError, LabelError, RecipeError
from labram.input_spec import MAX_PATCHES, SAMPLE_RATE_HZ, to_model_unit
from labram.linear.features import Aligned, WindowGroup
from labram.recipe import AlignmentRecipe, TaskRecipe
from labram.signals import alignment as alignments
from labram.signals.alignment import Alignment
from labram.signals.electrodes import rows
from labram.signals.interpolation import interpolate
from labram.store.store import Store
from labram.training.data import seeds
from labram.training.data.alignment_source import (
    SourceWindows,
    check_seconds,
    is_calibration,
    unlabelled_intervals,
)
from labram.training.data.windows import ALL

WINDOWS_AT_ONCE = 256
"""Windows in memory while an alignment or features are computed."""


@dataclass(frozen=True)
class LabelledBatch:
    """Windows of one montage with their labels.

    Attributes:
        x: float32 [n, N, A, 200] in units of 100 µV.
        y: Class indices [n] or targets [n, M], float64.
        rows: Row of each channel in the model's spatial table, 1 to 128.
        recording_ids: Recording of each window [n].
    """

    x: NDArray[np.float32]
    y: NDArray[np.float64]
    rows: tuple[int, ...]
    recording_ids: tuple[str, ...]

    @property
    def weight(self) -> int:
        """Number of windows: the weight of this micro-batch in its step."""
        return len(self.x)


@dataclass(frozen=True)
class LabelledGroup:
    """All windows of one montage; signals are read from the store on demand.

    Attributes:
        montage: Canonical channel names.
        seconds: Length A of the windows.
        y: Class indices [n], or targets [n, M] in their own unit.
        subject_keys: Subject of each window [n].
        recording_ids: Recording of each window [n].
        starts: First sample of each window in its recording, at 200 Hz [n].
        alignment: How signals are aligned, subject by subject, on these windows or on others of the subject.
    """

    store: Store
    montage: tuple[str, ...]
    seconds: int
    y: NDArray[np.float64]
    subject_keys: NDArray[np.str_]
    recording_ids: NDArray[np.str_]
    starts: NDArray[np.int64]
    _keys: NDArray[np.str_]
    _interpolated: Mapping[str, Sequence[str]]
    alignment: AlignmentRecipe
    _source: SourceWindows | None = None

    def __len__(self) -> int:
        return len(self.starts)

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Row of each channel in the model's spatial table, 1 to 128."""
        return rows(self.montage)

    @cached_property
    def alignments(self) -> dict[str, Alignment]:
        """Alignment of each subject, from its windows in this group or from others; empty without alignment."""
        if self.alignment.kind == "none":
            return {}
        return {key: self._alignment_of(key) for key in np.unique(self.subject_keys)}

    def signals(self, windows: int) -> Iterator[NDArray[np.float32]]:
        """Yield all windows in order in µV, [n, N, A·200], at most `windows` at a time."""
        for indices in self._parts(windows):
            yield self._read(indices).reshape(len(indices), len(self.montage), -1)

    def batch(self, indices: Sequence[int] | NDArray[np.int64]) -> LabelledBatch:
        """Read windows as a batch for the model."""
        x_BNAT = self._read(indices)
        to_model_unit(x_BNAT, out=x_BNAT)
        rows_n = np.asarray(indices, dtype=np.int64)
        return LabelledBatch(x_BNAT, self.y[rows_n], self.rows, tuple(self.recording_ids[rows_n].tolist()))

    def rows_of(self, indices: NDArray[np.int64]) -> "LabelledGroup":
        """Return some windows; alignments are those of all windows."""
        source = self._source or SourceWindows(self.subject_keys, self._keys, self.starts)
        columns = ("y", "subject_keys", "recording_ids", "starts", "_keys")
        return replace(self, **{name: getattr(self, name)[indices] for name in columns}, _source=source)

    def batches(self, windows: int) -> Iterator[LabelledBatch]:
        """Yield all windows in order, at most `windows` at a time."""
        yield from map(self.batch, self._parts(windows))

    def _alignment_of(self, subject: str) -> Alignment:
        source = self._source or SourceWindows(self.subject_keys, self._keys, self.starts)
        most = None if self.alignment.seconds is None else -(-self.alignment.seconds // self.seconds)
        indices = source.of_subject(subject, most)
        if not len(indices):
            return alignments.missing(len(self.montage))

        def parts() -> Iterator[NDArray[np.float32]]:
            for start in range(0, len(indices), WINDOWS_AT_ONCE):
                part = indices[start : start + WINDOWS_AT_ONCE]
                x_BNAT = self._recorded(source.keys[part], source.starts[part])
                yield x_BNAT.reshape(len(part), len(self.montage), -1)

        return alignments.fit(parts(), self.alignment)

    def _parts(self, windows: int) -> Iterator[range]:
        for start in range(0, len(self), windows):
            yield range(start, min(start + windows, len(self)))

    def _read(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        rows_n = np.asarray(indices, dtype=np.int64)
        x_BNAT = self._recorded(self._keys[rows_n], self.starts[rows_n])
        if self.alignments:
            for window, index in zip(x_BNAT, indices, strict=True):
                aligned = self.alignments[self.subject_keys[index]].apply(window.reshape(len(window), -1))
                window[:] = aligned.reshape(window.shape)
        return x_BNAT

    def _recorded(self, keys: NDArray[np.str_], starts: NDArray[np.int64]) -> NDArray[np.float32]:
        x_BNAT = np.empty((len(keys), len(self.montage), self.seconds, SAMPLE_RATE_HZ), dtype=np.float32)
        for row, (key, start) in enumerate(zip(keys.tolist(), starts.tolist(), strict=True)):
            x_BNAT[row] = interpolate(self._window(key, start), self.montage, self._interpolated[key])
        return x_BNAT

    def _window(self, key: str, start: int) -> NDArray[np.float32]:
        if start >= 0:
            return self.store.read(key, start, self.seconds)
        # Wrap around from the end, for compatibility with published results only (`labram.datasets.base`).
        first, shift = divmod(start, SAMPLE_RATE_HZ)
        patches_SCT = self.store.patches(key)
        window_ACT = np.take(patches_SCT, range(first, first + self.seconds + 1), axis=0, mode="wrap")
        flat = window_ACT.transpose(1, 0, 2).reshape(len(self.montage), -1)[
            :, shift : shift + self.seconds * SAMPLE_RATE_HZ
        ]
        return flat.reshape(len(self.montage), self.seconds, SAMPLE_RATE_HZ).astype(np.float32)


@dataclass(frozen=True)
class _Stored:
    """Signals of a group in µV, read from the store in batches on every iteration."""

    group: LabelledGroup

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        yield from self.group.signals(WINDOWS_AT_ONCE)


@dataclass(frozen=True)
class LabelledWindows:
    """All windows of a task in one split.

    Attributes:
        groups: One group per montage, sorted. `y`, `subject_keys` and `recording_ids` follow their order.
        excluded: Number of windows that are left out because of seconds that the quality check excluded.
    """

    groups: tuple[LabelledGroup, ...]
    excluded: int = 0

    @classmethod
    def load(
        cls, corpus: Corpus, store: Store, task: TaskRecipe, split: Split | None, *, overlap: float = 0.0
    ) -> "LabelledWindows":
        """Find the windows of a task.

        Args:
            corpus: Catalogue and labels.
            store: Patch store.
            task: Task.
            split: Split of the subjects; None: all subjects.
            overlap: Share by which successive windows overlap.

        Raises:
            LabelError: If a label is not one of the task's classes, or has the wrong number of targets.
            RecipeError: If the windows would have more than 256 patches.
            CorpusError: If subjects of the task's dataset are guessed: one might be in two splits.
        """
        _require_stated(corpus, task)
        cut = _cut(corpus.intervals(task.name, split, task.dataset), task.seconds, overlap)
        table = cut[_without_excluded(cut, task.seconds)].reset_index(drop=True)
        excluded, labels = len(cut) - len(table), _labels(table, task)
        calibration = is_calibration(table, labels, task)
        source = _source(corpus, task, split, table[calibration])
        table, labels = table[~calibration], labels[~calibration]
        montages = table["montage"].map(tuple)
        groups = []
        for montage in sorted(set(montages)):
            _check_size(montage, task)
            in_group = np.array([names == montage for names in montages])
            of_group = None if source is None else source[[tuple(names) == montage for names in source["montage"]]]
            groups.append(_group(store, task, montage, table[in_group], labels[in_group], of_group))
        return cls(tuple(groups), excluded=excluded)

    def __len__(self) -> int:
        return sum(len(group) for group in self.groups)

    def rows(self, indices: NDArray[np.int64]) -> "LabelledWindows":
        """Return some windows, by ascending index; alignments are those of all windows."""
        groups, start = [], 0
        for group in self.groups:
            inside = indices[(indices >= start) & (indices < start + len(group))] - start
            if len(inside):
                groups.append(group.rows_of(inside))
            start += len(group)
        return replace(self, groups=tuple(groups))

    def aligned(self, alignment: AlignmentRecipe) -> "LabelledWindows":
        """Return the same windows with another alignment."""
        if all(group.alignment == alignment for group in self.groups):
            return self
        return replace(self, groups=tuple(replace(group, alignment=alignment) for group in self.groups))

    def window_groups(self, alignment: AlignmentRecipe | None = None) -> list[WindowGroup]:
        """Return the windows by montage, in µV, in order, for linear models and predictions.

        Args:
            alignment: Another alignment than that of the task.
        """
        windows = self if alignment is None else self.aligned(alignment)
        return [WindowGroup(_Stored(group), group.montage, group.subject_keys.tolist()) for group in windows.groups]

    def describe_alignment(self) -> tuple[str, tuple[str, ...]]:
        """Return a line on the alignment for reports, and notes on subjects with too few seconds for it."""
        computed = [(group, one) for group in self.groups for one in group.alignments.values()]
        settings = self.groups[0].alignment if self.groups else AlignmentRecipe()
        line = alignments.describe(settings, [one for _, one in computed])
        short = [f"{one.seconds:g} s of {len(group.montage)} channels" for group, one in computed if not one.complete]
        if not short:
            return line, ()
        none = " (without any signal: nothing is)" if any(not one.seconds for _, one in computed) else ""
        note = f"{len(short)} of {len(computed)} subjects are too short to align ({short[0]}): only their amplitude is"
        return line, (f"{note}{none}.",)

    @property
    def y(self) -> NDArray[np.float64]:
        """Class indices [n], or targets [n, M] in their own unit."""
        return np.concatenate([group.y for group in self.groups]) if self.groups else np.empty(0)

    @property
    def subject_keys(self) -> NDArray[np.str_]:
        """Subject of each window [n]."""
        return np.concatenate([group.subject_keys for group in self.groups]) if self.groups else np.empty(0, np.str_)

    @property
    def recording_ids(self) -> NDArray[np.str_]:
        """Recording of each window [n]."""
        return np.concatenate([group.recording_ids for group in self.groups]) if self.groups else np.empty(0, np.str_)

    @property
    def montages(self) -> tuple[tuple[str, ...], ...]:
        """Montage of each group."""
        return tuple(group.montage for group in self.groups)

    def batch(self, indices: NDArray[np.int64]) -> list[LabelledBatch]:
        """Read windows by index, as one batch per montage."""
        parts = []
        start = 0
        for group in self.groups:
            inside = indices[(indices >= start) & (indices < start + len(group))] - start
            if len(inside):
                parts.append(group.batch(inside))
            start += len(group)
        return parts

    def batches(self, windows: int) -> Iterator[LabelledBatch]:
        """All windows in order, some at a time."""
        for group in self.groups:
            yield from group.batches(windows)


@dataclass(frozen=True)
class ShuffledWindows:
    """All windows of a task, shuffled in each epoch. The windows of a step are a function of seed and step.

    Attributes:
        windows: Windows of the task.
        size: Maximum of windows in a step; the steps of an epoch differ by at most one window.
        seed: Random seed.
    """

    windows: LabelledWindows
    size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps in an epoch."""
        return -(-len(self.windows) // self.size)

    @property
    def min_step_size(self) -> int:
        """Number of windows in the smallest step."""
        return len(self.windows) // self.steps_per_epoch

    def batch(self, step: int, share: slice = ALL) -> list[LabelledBatch]:
        """Return the windows of a step, counted from 0, or a slice of them, as one micro-batch per montage."""
        epoch, index = divmod(step, self.steps_per_epoch)
        order = seeds.generator(self.seed, seeds.SHUFFLE, epoch).permutation(len(self.windows))
        return self.windows.batch(np.array_split(order, self.steps_per_epoch)[index][share])


def _source(corpus: Corpus, task: TaskRecipe, split: Split | None, rest: pd.DataFrame) -> pd.DataFrame | None:
    """Return the windows that alignments are computed from; None: those of the task."""
    if task.alignment.source == "all":
        return None
    if task.alignment.source == "rest":
        return rest
    cut = _cut(unlabelled_intervals(corpus, task, split), task.seconds, 0.0)
    return cut[_without_excluded(cut, task.seconds)].reset_index(drop=True)


def _group(
    store: Store,
    task: TaskRecipe,
    montage: tuple[str, ...],
    table: pd.DataFrame,
    labels: NDArray[np.float64],
    source: pd.DataFrame | None,
) -> LabelledGroup:
    """Return the windows of one montage."""
    own, rows = SourceWindows.of(table), table if source is None else pd.concat([table, source])
    interpolated = zip(rows["store_key"], rows["interpolated_channels"], strict=True)
    return LabelledGroup(
        store=store,
        montage=montage,
        seconds=task.seconds,
        y=labels,
        subject_keys=own.subject_keys,
        recording_ids=table["recording_id"].to_numpy(dtype=np.str_),
        starts=own.starts,
        _keys=own.keys,
        _interpolated={key: names or () for key, names in interpolated},
        alignment=task.alignment,
        _source=None if source is None else SourceWindows.of(source),
    )


def windows_of_datasets(corpus: Corpus, store: Store, task: TaskRecipe, recordings: int, each: int) -> LabelledWindows:
    """Return windows of every dataset of a corpus, labelled with the number of the dataset, without alignment.

    Args:
        corpus: Catalogue.
        store: Patch store.
        task: Task with the length of the windows; longer ones than a montage or a recording allows are left out.
        recordings: Largest number of recordings of a dataset, evenly spaced.
        each: Largest number of windows of a recording, evenly spaced.
    """
    rows = corpus.accepted()
    fits = rows["montage"].map(len) * task.seconds <= MAX_PATCHES
    rows = rows[fits & (rows["seconds"] >= task.seconds)].sort_values("recording_id", kind="stable")
    chosen = [part.iloc[_spaced(len(part), recordings)] for _, part in rows.groupby("dataset")]
    if not chosen:
        return LabelledWindows(())
    table = pd.concat(chosen)
    counts = (table["seconds"] // task.seconds).astype(int)
    numbers = [_spaced(count, each) for count in counts]
    cut = table.loc[table.index.repeat([len(part) for part in numbers])]
    first = np.concatenate(numbers) * task.seconds * SAMPLE_RATE_HZ
    cut = cut.assign(first_sample=first, recording_seconds=cut["seconds"])
    cut = cut[_without_excluded(cut, task.seconds)].reset_index(drop=True)
    labels = pd.factorize(cut["dataset"])[0].astype(np.float64)
    plain = task.model_copy(update={"alignment": AlignmentRecipe()})
    montages = [tuple(names) for names in cut["montage"]]
    groups = []
    for montage in sorted(set(montages)):
        inside = np.array([names == montage for names in montages])
        groups.append(_group(store, plain, montage, cut[inside], labels[inside], None))
    return LabelledWindows(tuple(groups))


def _spaced(count: int, most: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _require_stated(corpus: Corpus, task: TaskRecipe) -> None:
    guessed = len(corpus.guessed(task.dataset))
    if guessed:
        raise CorpusError(
            f"the subjects of {guessed} recordings of task {task.name!r} are guessed from names",
            field="corpus.subject",
            remedy="State the pattern of subjects in the recipe, and ingest the folder again",
        )


def fitting_windows(corpus: Corpus, store: Store, task: TaskRecipe) -> list[LabelledWindows]:
    """Return the windows that baseline and probe are fitted to, in parts with at least one window.

    They are those of the training and validation subjects, or of all subjects if the corpus is cross-validated.
    """
    splits: tuple[Split | None, ...] = (None,) if corpus.protocol(task.dataset) else ("train", "validation")
    return [part for split in splits if len(part := LabelledWindows.load(corpus, store, task, split))]


def all_groups(parts: Sequence[LabelledWindows]) -> Aligned:
    """Return the windows of several splits with any alignment, part by part."""
    return lambda alignment: [group for part in parts for group in part.window_groups(alignment)]


def no_training_windows(task: TaskRecipe) -> LabelError:
    """Return the error of a task without windows to train on."""
    return LabelError(
        f"no training subject of {task.dataset} has a labelled window of {task.seconds} s",
        field=f"tasks.{task.name}",
        remedy="Check the dataset's labels, or shorten the task's windows",
    )


def _cut(intervals: pd.DataFrame, seconds: int, overlap: float) -> pd.DataFrame:
    """Return one row per window: successive windows from the start of each interval, within interval and recording.

    An interval that begins before the recording (see `labram.datasets.base.LabelSpan`) wraps around to its end.
    """
    first = np.round(intervals["start"].to_numpy(dtype=float) * SAMPLE_RATE_HZ).astype(np.int64)
    length = np.round(intervals["seconds"].to_numpy(dtype=float) * SAMPLE_RATE_HZ).astype(np.int64)
    end = np.minimum(first + length, intervals["recording_seconds"].to_numpy(dtype=np.int64) * SAMPLE_RATE_HZ)
    window = seconds * SAMPLE_RATE_HZ
    stride = max(1, round(window * (1 - overlap)))
    counts = np.maximum(np.where(first >= 0, end - first, length) - window + stride, 0) // stride
    repeated = intervals.loc[intervals.index.repeat(counts)]
    number = np.concatenate([np.arange(count) for count in counts]) if len(counts) else np.empty(0, np.int64)
    windows = repeated.assign(first_sample=np.repeat(first, counts) + number * stride)
    return windows.sort_values(["recording_id", "first_sample"], ignore_index=True, kind="stable")


def _without_excluded(windows: pd.DataFrame, seconds: int) -> NDArray[np.bool_]:
    """Return which windows have none of their recording's excluded seconds."""
    kept = np.ones(len(windows), bool)
    columns = (windows["excluded_seconds"], windows["first_sample"], windows["recording_seconds"])
    for row, (excluded, start, length) in enumerate(zip(*columns, strict=True)):
        if excluded:
            covered = range(start // SAMPLE_RATE_HZ, -(-start // SAMPLE_RATE_HZ) + seconds)
            kept[row] = not {second % length for second in covered} & set(excluded)
    return kept


def _labels(table: pd.DataFrame, task: TaskRecipe) -> NDArray[np.float64]:
    width = len(task.classes) if task.kind == "regression" else 1
    mismatched = [
        recording for recording, label in zip(table["recording_id"], table["label"], strict=True) if len(label) != width
    ]
    if mismatched:
        raise LabelError(
            f"expected labels with {width} values, got others in {len(set(mismatched))} recordings: {mismatched[0]} …",
            field=f"tasks.{task.name}.classes",
            remedy="List the dataset's classes or targets in the recipe",
        )
    values = np.array(table["label"].tolist(), dtype=np.float64).reshape(len(table), width)
    if task.kind == "regression":
        return values
    valid = np.isin(values, np.arange(len(task.classes)))
    if not valid.all():
        raise LabelError(
            f"expected a label from 0 to {len(task.classes) - 1}, got {values[~valid][0]:g}",
            field=f"tasks.{task.name}.classes",
            remedy="List all classes of the dataset in the recipe",
        )
    return values[:, 0]


def _check_size(montage: tuple[str, ...], task: TaskRecipe) -> None:
    check_seconds(len(montage), task)
    if len(montage) * task.seconds > MAX_PATCHES:
        raise RecipeError(
            f"windows of {len(montage)} channels x {task.seconds} s have more than {MAX_PATCHES} patches",
            field=f"tasks.{task.name}.seconds",
            remedy=f"Set it to {MAX_PATCHES // len(montage)} or less",
        )
