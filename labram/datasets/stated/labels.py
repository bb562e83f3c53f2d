"""Labels that a dataset file states: from tables and paths before a recording is read, from events afterwards."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from labram.datasets.base import LabelSpan, RecordingFile, StatedLabel
from labram.datasets.patterns import search
from labram.datasets.stated.contradictions import Origin, consistent
from labram.datasets.stated.dataset_file import DATASET_FILE, Labels, TaskFile
from labram.datasets.stated.label_table import Row, Table, TableError, date_hint, read_table
from labram.datasets.stated.row_matching import Matcher
from labram.datasets.stated.trial_files import label_values
from labram.datasets.walk import is_own_file
from labram.errors import CorpusError, LabelError
from labram.signals.readers import edf_person
from labram.signals.recording import Recording


@dataclass(frozen=True)
class _Source:
    """One source of a task's labels."""

    task: str
    settings: TaskFile
    labels: Labels

    @property
    def known(self) -> frozenset[str]:
        """Values that stand for something, even if they look like "no value", such as a class `none`."""
        return frozenset((*self.settings.classes, *self.labels.values))

    def applies(self, file: RecordingFile) -> bool:
        """Return whether recordings of this path have these labels."""
        return not self.labels.files or search(self.labels.files, file.place, f"{self.field}.files") is not None

    @property
    def field(self) -> str:
        """Key of the source."""
        return f"tasks.{self.task}.labels"

    def label(self, value: str, table: str, row: Row | None = None) -> tuple[float, ...] | None:
        """Return the class index of a value, None if it is not used.

        Raises:
            TableError: If it is no class of the task.
        """
        mapped = {**self.labels.values, **(self.labels.events or {})}
        name = mapped.get(value, value)
        if name is None:
            return None
        if name in self.settings.classes:
            return (float(self.settings.classes.index(name)),)
        where = f"row {row.number}: " if row else ""
        alike = [known for known in self.settings.classes if _same(known, name)]
        raise TableError(
            f"{where}{value!r} is not a class of task {self.task!r}"
            + (f", but differs from {alike[0]!r} in case or blanks only" if alike else date_hint(value)),
            kind=f"{where}a value is not a class of task {self.task!r}",
            file=table,
            field=f"tasks.{self.task}.classes",
            remedy=f"Correct it to one of {', '.join(self.settings.classes)}, or map it in the dataset file: "
            f"values: {{VALUE: {alike[0] if alike else 'CLASS'}}}; null: not used",
        )

    def resembles(self, value: str) -> bool:
        """Return whether a value is a class or mapped, or differs from one in case or blanks only."""
        return value in self.labels.values or any(_same(name, value) for name in self.settings.classes)


def _same(one: str, other: str) -> bool:
    return "".join(one.split()).casefold() == "".join(other.split()).casefold()


@dataclass
class StatedLabels:
    """Labels of all recordings of a dataset by place, and what could not be used.

    Attributes:
        labels: Labels of each recording.
        notes: What was found in tables and is not used, for the terminal only.
    """

    labels: dict[str, list[StatedLabel]]
    notes: list[str]


_Found = dict[tuple[str, str], list[Origin]]
"""Labels by recording and task."""


def collect(tasks: Mapping[str, TaskFile], folder: Path, files: Sequence[RecordingFile]) -> StatedLabels:
    """Return the labels that tables and paths state.

    Args:
        tasks: Tasks of the dataset file.
        folder: Its folder.
        files: Recordings, with subjects.

    Raises:
        TableError: If a table is unusable, or labels contradict each other.
        CorpusError: If a pattern matches no recording.
    """
    notes: list[str] = []
    found: _Found = defaultdict(list)
    for source in _sources(tasks):
        mine = [file for file in files if source.applies(file)]
        if files and not mine:
            raise nothing_matches(f"tasks.{source.task}.labels.files", source.labels.files, len(files))
        for table, keyed in _tables(source.labels, folder):
            _add_rows(found, notes, source, table, keyed, mine)
        if source.labels.header:
            _add_personal(found, notes, source, mine, folder)
        if source.labels.path:
            _add_paths(found, source, mine)
    stated = StatedLabels(defaultdict(list), notes)
    for (place, _), origins in found.items():
        stated.labels[place] += consistent(place, origins, notes)
    return stated


def nothing_matches(field: str, pattern: str, recordings: int) -> CorpusError:
    """Return the error of a pattern that matches no recording."""
    return CorpusError(
        f"the pattern {pattern!r} matches none of the {recordings} recordings",
        file=DATASET_FILE,
        field=field,
        remedy="Correct it: it is searched in each path relative to the dataset file; `labram datasets init` shows one",
    )


def _add_paths(found: _Found, source: _Source, files: Sequence[RecordingFile]) -> None:
    pattern, field = source.labels.path, f"{source.field}.path"
    matches = {file: search(pattern, file.place, field) for file in files}
    if not any(matches.values()):
        raise nothing_matches(field, pattern, len(files))
    for file, match in matches.items():
        if match and match["label"]:
            label = source.label(match["label"], file.place)
            if label is not None:
                found[file.name, source.task].append(Origin(StatedLabel(source.task, None, None, label)))


def _sources(tasks: Mapping[str, TaskFile]) -> Iterator[_Source]:
    for name, settings in tasks.items():
        for labels in settings.labels:
            yield _Source(name, settings, labels)


def _tables(labels: Labels, folder: Path) -> Iterator[tuple[Table, Labels]]:
    """Yield the tables of a source with their columns; those of BIDS have known names."""
    if labels.table:
        yield read_table(folder / labels.table, folder), labels
    elif labels.bids == "participants":
        yield read_table(folder / "participants.tsv", folder), labels.model_copy(update={"subject": "participant_id"})
    elif labels.bids == "scans":
        for path in sorted(folder.glob("sub-*/**/*_scans.tsv")):
            yield read_table(path, folder), labels.model_copy(update={"file": "filename"})


def _add_rows(
    found: _Found, notes: list[str], source: _Source, table: Table, keyed: Labels, files: Sequence[RecordingFile]
) -> None:
    table.require(*source.labels.label, keyed.start, keyed.duration, keyed.stop)
    matcher = Matcher(table, keyed, files)
    for row, matched in matcher:
        missing = [
            column
            for column in source.labels.label
            if not row.stated(column, source.known) or _lacks(source, table, row, column)
        ]
        if missing:
            notes.append(f"{table.name} row {row.number}: no value in column {missing[0]!r}; not used")
            continue
        label = _label(source, table, row)
        if label is None:
            continue
        span = StatedLabel(source.task, *_span(keyed, table, row), label)
        for file in matched:
            found[file.name, source.task].append(Origin(span, table.name, row.number))
    notes += [matcher.describe(row) for row in matcher.unmatched]


def _label(source: _Source, table: Table, row: Row) -> tuple[float, ...] | None:
    if source.settings.targets:
        return tuple(_target(source, table, row, column) for column in source.labels.label)
    return source.label(row.cells[source.labels.label[0]], table.name, row)


def _lacks(source: _Source, table: Table, row: Row, column: str) -> bool:
    """Return whether a target is one of the numbers that mean a missing one."""
    return (
        bool(source.settings.targets and source.labels.missing) and table.number(row, column) in source.labels.missing
    )


def _target(source: _Source, table: Table, row: Row, column: str) -> float:
    value, valid = table.number(row, column), source.labels.valid
    if valid and not valid[0] <= value <= valid[1]:
        raise TableError(
            f"row {row.number}: {value:g} in column {column!r} is outside {valid[0]:g} to {valid[1]:g}",
            kind=f"row {row.number} has a target outside the valid range",
            file=table.name,
            field=column,
            remedy="Correct the cell, or state the number in missing, or another range in valid",
        )
    return value


def _add_personal(
    found: _Found, notes: list[str], source: _Source, files: Sequence[RecordingFile], folder: Path
) -> None:
    """Add labels from the patient fields of headers; what is missing is noted by file."""
    valid = source.labels.valid or (-math.inf, math.inf)
    for file in files:
        label: tuple[float, ...] | None = None
        if not is_own_file(file.path, folder):
            pass
        elif source.labels.header == "edf.sex":
            value = edf_person.sex(file.path)
            label = source.label(value, file.place) if value else None
        elif (age := edf_person.age(file.path)) is not None and age not in source.labels.missing:
            label = (age,) if valid[0] <= age <= valid[1] else None
        if label is None:
            notes.append(f"{file.place}: no valid {source.labels.header} in its header; not used")
        else:
            found[file.name, source.task].append(Origin(StatedLabel(source.task, None, None, label), "the header"))


def _span(keyed: Labels, table: Table, row: Row) -> tuple[float | None, float | None]:
    """Return onset and duration of a row, None for the whole recording."""
    if not keyed.start:
        return None, None
    start = table.number(row, keyed.start)
    if keyed.tmax is not None:
        return start + keyed.tmin, keyed.tmax - keyed.tmin
    duration = table.number(row, keyed.duration) if keyed.duration else table.number(row, keyed.stop) - start
    if duration <= 0 or start < 0:
        raise TableError(
            f"row {row.number}: a span from {start:g} s of {duration:g} s",
            kind=f"row {row.number} has an impossible span",
            file=table.name,
            field=keyed.start,
            remedy="Correct start and duration: both in seconds from the start of the recording",
        )
    return start, duration


def spans(
    tasks: Mapping[str, TaskFile], file: RecordingFile, recording: Recording, skipped: float, folder: Path
) -> list[LabelSpan]:
    """Return the labelled spans of a recording: stated ones, and those of its events.

    Args:
        tasks: Tasks of the dataset file.
        file: The recording's file, with its stated labels.
        recording: The recording, without what is skipped at its start.
        skipped: Seconds that are skipped at the start; stated onsets count them.
        folder: Folder of the dataset file.

    Raises:
        LabelError: If an event has neither a duration nor a stated end, or a BIDS table of events is unusable.
    """
    found = [
        LabelSpan(stated.task, 0.0, recording.seconds, stated.label)
        if stated.onset is None or stated.duration is None
        else _shifted(stated, skipped)
        for stated in file.labels
    ]
    for source in _sources(tasks):
        if source.labels.events and source.applies(file):
            found += _of_events(source, file, recording)
        elif source.labels.bids == "events" and source.applies(file):
            found += [_shifted(stated, skipped) for stated in _of_bids_events(source, file, folder)]
        elif source.labels.trials and source.applies(file):
            found += _of_trials(source, file, recording, folder)
    return [span for span in found if span.duration > 0]


def _shifted(stated: StatedLabel, skipped: float) -> LabelSpan:
    """Return a span counted from the end of what is skipped; what lies before is cut off."""
    assert stated.onset is not None
    assert stated.duration is not None
    onset = stated.onset - skipped
    cut = min(max(-onset, 0.0), stated.duration)
    return LabelSpan(stated.task, onset + cut, stated.duration - cut, stated.label)


def _of_events(source: _Source, file: RecordingFile, recording: Recording) -> Iterator[LabelSpan]:
    labels = source.labels
    if recording.trial_samples:
        yield from _of_epochs(source, file, recording)
        return
    for event in recording.events:
        if event.code not in (labels.events or {}):
            continue
        label = source.label(event.code, file.path.name)
        if label is not None:
            duration = event.duration if labels.tmax is None else labels.tmax - labels.tmin
            yield LabelSpan(source.task, event.onset + labels.tmin, _stated_end(source, duration), label)


def _of_epochs(source: _Source, file: RecordingFile, recording: Recording) -> Iterator[LabelSpan]:
    """Yield a span for each trial whose event has a class."""
    length = recording.trial_samples / recording.sfreq
    for event in recording.events:
        if event.code in (source.labels.events or {}):
            label = source.label(event.code, file.path.name)
            if label is not None:
                onset = round(event.onset / length) * recording.trial_seconds
                yield LabelSpan(source.task, float(onset), float(recording.trial_seconds), label)


def _of_trials(source: _Source, file: RecordingFile, recording: Recording, folder: Path) -> Iterator[LabelSpan]:
    """Yield a span for each trial with a label, or for each stretch of samples with one label."""
    values = label_values(source.labels, file, folder, source.known, numbers=bool(source.settings.targets))
    trials = recording.samples // recording.trial_samples if recording.trial_samples else 1
    length = recording.trial_samples or recording.samples
    if trials == 1 < len(values) == length:
        values = [tuple(value for row in values for value in row)]
    if len(values) == trials and source.settings.classes and len(values[0]) == length > 1:
        for position, row in enumerate(values):
            yield from _stretches(source, row, recording, position * float(recording.trial_seconds))
        return
    if len(values) != trials:
        raise LabelError(
            f"{len(values)} labels for {trials} trials",
            file=Path(source.labels.trials).name,
            field=f"tasks.{source.task}.labels.trials",
            remedy="State one label per trial, in the order of the file, or one per sample",
        )
    seconds = float(recording.trial_seconds or recording.seconds)
    for position, value in enumerate(values):
        label = _targets(source, value) if source.settings.targets else _class(source, value)
        if label is not None:
            yield LabelSpan(source.task, position * seconds, seconds, label)


def _stretches(source: _Source, row: Sequence[str], recording: Recording, onset: float) -> Iterator[LabelSpan]:
    """Yield a span for each stretch of equal labels of one trial, or of a continuous recording."""
    most = float(recording.trial_seconds or recording.seconds)
    start = 0
    for value, samples in groupby(row):
        stop = start + len(list(samples))
        begin, end = start / recording.sfreq, min(stop / recording.sfreq, most)
        label = _class(source, (value,))
        if label is not None and end > begin:
            yield LabelSpan(source.task, onset + begin, end - begin, label)
        start = stop


def _class(source: _Source, value: tuple[str, ...]) -> tuple[float, ...] | None:
    missing = not value[0] or (value[0].lower() == "nan" and value[0] not in source.known)
    return None if missing else source.label(value[0], Path(source.labels.trials).name)


def _targets(source: _Source, value: tuple[str, ...]) -> tuple[float, ...] | None:
    """Return the targets of a trial; None if one is missing.

    Raises:
        LabelError: If they are no numbers, or another number of them.
    """
    if not all(value):
        return None
    try:
        numbers = tuple(map(float, value))
    except ValueError:
        numbers = ()
    if len(numbers) != len(source.settings.targets):
        raise LabelError(
            f"expected {len(source.settings.targets)} numbers per trial",
            file=Path(source.labels.trials).name,
            field=f"{source.field}.trials",
            remedy="State one value per target and trial; NaN, or an empty cell, means no label",
        )
    if not all(map(math.isfinite, numbers)) or set(numbers) & set(source.labels.missing):
        return None
    low, high = source.labels.valid or (-math.inf, math.inf)
    if not all(low <= number <= high for number in numbers):
        raise LabelError(
            f"a target is outside {low:g} to {high:g}",
            file=Path(source.labels.trials).name,
            field=f"{source.field}.valid",
            remedy="Correct it, or state the number in missing, or another range in valid",
        )
    return numbers


def _stated_end(source: _Source, duration: float) -> float:
    if duration <= 0:
        raise LabelError(
            "an event has no duration",
            field=f"tasks.{source.task}.labels.tmax",
            remedy="State tmin and tmax, the labelled span after each event in seconds",
        )
    return duration


def events_table(path: Path) -> Path:
    """Return the table of events of a recording of BIDS."""
    return path.with_name(path.stem.removesuffix("_eeg") + "_events.tsv")


def _of_bids_events(source: _Source, file: RecordingFile, folder: Path) -> Iterator[StatedLabel]:
    labels = source.labels
    column = labels.label[0] if labels.label else "trial_type"
    table = read_table(events_table(file.path), folder)
    table.require("onset", column)
    for row in table.rows:
        value = row.stated(column, source.known)
        label = source.label(value, table.name, row) if value and source.resembles(value) else None
        if label is not None:
            duration = labels.tmax - labels.tmin if labels.tmax is not None else table.number(row, "duration")
            yield StatedLabel(
                source.task, table.number(row, "onset") + labels.tmin, _stated_end(source, duration), label
            )
