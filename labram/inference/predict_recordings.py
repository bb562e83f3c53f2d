"""Predictions of recordings, one row per window, recording or subject, in bounded memory.

Letters: n windows, K classes or targets.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from labram.errors import MisfitWeightsError, Reason
from labram.events import Monitor
from labram.inference.find_recordings import Source
from labram.inference.predictor import Predictor
from labram.inference.prepare import Prepared, Settings, prepare_groups
from labram.inference.reasons import CHANNELS_MISSING, NO_WINDOW, TOO_FEW_WINDOWS, TOO_MANY_CHANNELS
from labram.inference.served import Served
from labram.inference.unlabelled import UnlabelledWindows, cut
from labram.input_spec import MAX_PATCHES
from labram.linear.features import band_powers
from labram.metrics import Array
from labram.recipe import LEAST_WINDOWS, AlignmentRecipe, TaskRecipe
from labram.signals.alignment import Alignment
from labram.store.store import Store

By = Literal["window", "recording", "subject"]
Row = dict[str, object]
"""A row of the table, by column (see `columns`)."""
Item = TypeVar("Item")
IDENTITY: Mapping[str, type] = {
    "file": str,
    "subject": str,
    "start_s": float,
    "duration_s": float,
    "windows": int,
    "channels": int,
    "electrodes": str,
    "dropped": int,
    "interpolated": int,
    "alignment": str,
    "alignment_s": float,
    "model": str,
    "version": str,
}
"""Columns of what was predicted from, with their types."""
REMARKS: Mapping[str, type] = {"warnings": str, "reason": str}


def columns(task: TaskRecipe, *, decided: bool = False) -> dict[str, type]:
    """Return the columns of the table of a task, with their types, in order; with decisions if they are made."""
    predicted: dict[str, type] = dict.fromkeys(value_columns(task), float)
    named: dict[str, type] = {} if task.kind == "regression" else {"prediction": str}
    decisions: dict[str, type] = {"decision": str, "abstain": str} if decided else {}
    return {**IDENTITY, **predicted, **named, **decisions, **REMARKS}


def value_columns(task: TaskRecipe) -> list[str]:
    """Return the columns of the predictions [K]: a probability for each class, or each target."""
    return list(task.classes) if task.kind == "regression" else [f"p_{name}" for name in task.classes]


class Decider(Protocol):
    """Decisions of a binary model, see `labram.evaluation.operating_point.OperatingPoint`."""

    def decide(self, p: Array, features: Array | None = None) -> tuple[npt.NDArray[np.int64], list[str]]:
        """Return decisions and, for each, why the model abstains."""
        ...


@dataclass(frozen=True)
class TaskModel:
    """A task model for recordings.

    Attributes:
        predictor: The loaded model.
        served: Its name and version.
        task: Its task.
        decider: Decides on windows or recordings; None: only probabilities are written.
    """

    predictor: Predictor
    served: Served
    task: TaskRecipe
    decider: Decider | None = None

    @classmethod
    def of(cls, predictor: Predictor, served: Served, decider: Decider | None = None) -> "TaskModel":
        """Return the model.

        Raises:
            MisfitWeightsError: If the model has no task.
        """
        if predictor.task is None:
            raise MisfitWeightsError(
                "the model has no task: it is a backbone or a tokenizer",
                file=served.model,
                remedy="Name a task model, or use `labram embed` (backbone) or `labram tokens` (tokenizer)",
            )
        return cls(predictor, served, predictor.task.recipe, decider)

    @property
    def needs_subjects(self) -> bool:
        """Whether a prediction depends on all recordings of the subject."""
        probe = self.predictor.probe
        parts = probe.card.parts if probe else ()
        alignments = (self.predictor.alignment, *(part.alignment for part in parts))
        return any(each.kind != "none" for each in alignments) or (probe is not None and probe.within_subject)

    def unfit(self, recording: Prepared) -> str:
        """Return why the model cannot read a recording; empty if it can."""
        if recording.reason:
            return recording.reason
        if len(recording.channels) * self.task.seconds > MAX_PATCHES:
            return TOO_MANY_CHANNELS
        if recording.seconds < self.task.seconds:
            return str(Reason.TOO_SHORT)
        probe = self.predictor.probe
        needed = {name for part in probe.card.parts for name in part.channels} if probe else set()
        return "" if needed <= set(recording.channels) else CHANNELS_MISSING

    def needs_more_than(self, windows: int) -> bool:
        """Whether so many windows of a subject are too few to standardise its features."""
        probe = self.predictor.probe
        return probe is not None and probe.within_subject and 0 < windows < LEAST_WINDOWS

    def predict(self, windows: UnlabelledWindows) -> Array:
        """Return predictions [n, K] of the windows of one person."""
        values = np.asarray(self.predictor.predict_windows(windows.windows.window_groups), dtype=np.float64)
        return np.column_stack([1 - values, values]) if self.task.kind == "binary" else values.reshape(len(windows), -1)


class PredictedGroup(NamedTuple):
    """Rows of one recording, or of all recordings of a subject.

    Attributes:
        rows: Rows of the table.
        recordings: The recordings.
        reasons: File and reason code of each recording that was not predicted.
    """

    rows: Sequence[Row]
    recordings: Sequence[Prepared]
    reasons: Sequence[tuple[str, str]]


def predict_recordings(
    model: TaskModel,
    sources: Sequence[Source],
    *,
    store: Store,
    by: By = "window",
    workers: int = 1,
    monitor: Monitor,
) -> Iterator[PredictedGroup]:
    """Yield the rows of each group of recordings, in the order of the sources.

    A recording without prediction has one row with a reason. The rows of a subject come together if the model needs
    all recordings of a subject, or `by` is ``subject``.

    Args:
        model: The model.
        sources: The recordings.
        store: A temporary store for patches.
        by: What a row is; recordings and subjects have the mean over their windows.
        workers: See `labram.inference.prepare.prepare_groups`.
        monitor: Receives progress, recording by recording.
    """
    settings = Settings(model.predictor.preprocessing, model.predictor.quality)
    groups = prepare_groups(
        sources,
        store,
        settings,
        by_subject=by == "subject" or model.needs_subjects,
        workers=workers,
        monitor=monitor,
    )
    yield from in_order((number, _predict_group(model, group, store, by)) for number, group in groups)


def in_order(numbered: Iterable[tuple[int, Item]]) -> Iterator[Item]:
    """Yield items in the order of their numbers 0, 1, ..., each as soon as those before it are there."""
    waiting: dict[int, Item] = {}
    due = 0
    for number, item in numbered:
        waiting[number] = item
        while due in waiting:
            yield waiting.pop(due)
            due += 1


def _predict_group(model: TaskModel, group: Sequence[Prepared], store: Store, by: By) -> PredictedGroup:
    reasons = {recording.name: model.unfit(recording) for recording in group}
    usable = [recording for recording in group if not reasons[recording.name]]
    windows = cut(usable, store, model.task.seconds, model.predictor.alignment)
    cut_from = {recording.name for recording in windows.recordings}
    reasons |= {recording.name: NO_WINDOW for recording in usable if recording.name not in cut_from}
    if model.needs_more_than(len(windows)):
        reasons |= dict.fromkeys(cut_from, TOO_FEW_WINDOWS)
        cut_from = set()
    rows: list[Row] = []
    if cut_from:
        values = model.predict(windows)
        by_subject = by == "subject" and bool(group[0].subject)
        divided = parts(windows, "subject" if by_subject else by)
        made = [_row(model, windows, part, values[part], by_subject=by_subject) for part in divided]
        if model.decider is not None:
            _decide(model, made, windows, divided)
        rows += made
    rows += [reason_row(model.served, each, reasons[each.name]) for each in group if reasons[each.name]]
    return PredictedGroup(rows, group, [(name, reason) for name, reason in reasons.items() if reason])


def reason_row(served: Served, recording: Prepared, reason: str) -> Row:
    """Return the row of a recording that was not predicted."""
    return {**describe(recording), "model": served.model, "version": served.version, "reason": reason}


def parts(windows: UnlabelledWindows, by: By) -> list[list[int]]:
    """Return the windows of each row of a table, in the order of recordings and time."""
    order = sorted(range(len(windows)), key=lambda row: (windows.recordings[row].name, windows.starts[row]))
    if by == "window":
        return [[row] for row in order]
    divided: dict[str, list[int]] = {}
    for row in order:
        divided.setdefault(windows.recordings[row].name if by == "recording" else "", []).append(row)
    return list(divided.values())


def _row(model: TaskModel, windows: UnlabelledWindows, rows: Sequence[int], values: Array, *, by_subject: bool) -> Row:
    mean = values.mean(axis=0)
    row = {
        **describe_windows(windows, rows, by_subject=by_subject),
        "model": model.served.model,
        "version": model.served.version,
        **dict(zip(value_columns(model.task), mean.tolist(), strict=True)),
    }
    if model.task.kind != "regression":
        row["prediction"] = model.task.classes[int(mean.argmax())]
    return row


def _decide(model: TaskModel, rows: Sequence[Row], windows: UnlabelledWindows, divided: Sequence[list[int]]) -> None:
    """Add decisions to rows of a binary task; windows are also compared with the validation recordings."""
    assert model.decider is not None, "an operating point"
    positive = np.array([row[value_columns(model.task)[1]] for row in rows], dtype=np.float64)
    features = None
    if all(len(part) == 1 for part in divided):
        powers = band_powers(windows.windows.window_groups(AlignmentRecipe()))
        features = powers[[part[0] for part in divided]]
    decisions, reasons = model.decider.decide(positive, features)
    for row, decision, reason in zip(rows, decisions, reasons, strict=True):
        row |= {"decision": "" if reason else model.task.classes[int(decision)], "abstain": reason}


def describe(recording: Prepared) -> Row:
    """Return the columns of a recording that need no window."""
    return {
        "file": recording.name,
        "subject": recording.subject,
        "duration_s": float(recording.seconds),
        "channels": len(recording.channels),
        "electrodes": " ".join(recording.channels),
        "dropped": len(recording.dropped),
        "interpolated": len(recording.interpolated),
        "warnings": " ".join(recording.warnings),
    }


def describe_windows(windows: UnlabelledWindows, rows: Sequence[int], *, by_subject: bool = False) -> Row:
    """Return the columns of some windows of one recording, or of one subject."""
    first = windows.recordings[rows[0]]
    seconds = sum(windows.seconds[row] for row in rows)
    row = describe(first) | {
        "start_s": windows.starts[rows[0]],
        "duration_s": float(seconds),
        "windows": len(rows),
        **_alignment(windows.alignments[rows[0]] if windows.alignments else None, windows),
    }
    if by_subject:
        names = {windows.recordings[each].name for each in rows}
        row |= {"file": first.name if len(names) == 1 else f"{len(names)} recordings", "start_s": None}
    return row


def _alignment(alignment: Alignment | None, windows: UnlabelledWindows) -> Row:
    if alignment is None:
        return {"alignment": "none", "alignment_s": None}
    kind = windows.windows.groups[0].alignment.kind
    return {"alignment": kind if alignment.complete else "amplitude", "alignment_s": alignment.seconds}
