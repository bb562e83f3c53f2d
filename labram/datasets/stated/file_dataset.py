"""The adapter of a `dataset.yaml`: everything that a class of an adapter states, read from a file."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal, Self, cast

from labram.datasets.base import Dataset, Group, LabelSpan, RecordingFile, SubjectSource, list_files
from labram.datasets.bids import Bids
from labram.datasets.folder import Folder
from labram.datasets.patterns import composed, search
from labram.datasets.stated import dataset_file
from labram.datasets.stated import labels as stated_labels
from labram.datasets.stated.channel_names import with_names
from labram.datasets.stated.dataset_file import (
    DATASET_FILE,
    Channels,
    DatasetFile,
    GroupTable,
    SplitTable,
    SubjectTable,
)
from labram.datasets.stated.label_table import Table, TableError, read_table
from labram.datasets.stated.row_matching import Matcher
from labram.datasets.stated.trial_files import array_path, layout_of, table_of, trial_recordings
from labram.datasets.subjects import SubjectPatternError
from labram.errors import CorpusError, ReadError
from labram.metrics import Kind
from labram.signals.readers import is_recording
from labram.signals.readers.trials import read_trials
from labram.signals.recording import Recording

_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Contents:
    """Recordings of a dataset with what its file states of them.

    Attributes:
        files: All recordings, in a fixed order.
        notes: Rows that match no recording or have no label, for the terminal only.
    """

    files: tuple[RecordingFile, ...]
    notes: tuple[str, ...]


class FileDataset(Dataset):
    """A dataset that `dataset.yaml` in its folder states.

    Args:
        stated: Content of the file.
        folder: Its folder.
    """

    group = Group.OTHER

    def __init__(self, stated: DatasetFile, folder: Path) -> None:
        self.stated, self.folder = stated, folder
        self._named = stated.file_names
        self.name, self.title = stated.name, stated.title or stated.name
        self.line_freq_hz, self.reference = stated.line_freq_hz, stated.reference
        self.licence, self.citation, self.obtain = stated.licence, stated.citation, stated.obtain
        self.max_window_uv, self.population = stated.max_window_uv, stated.population or ""
        self.tasks = {name: task.names for name, task in stated.tasks.items()}
        self.regressions = frozenset(name for name, task in stated.tasks.items() if task.targets)
        self.event_codes = frozenset(
            code for task in stated.tasks.values() for source in task.labels for code in source.events or {}
        )

    @classmethod
    def load(cls, folder: Path) -> "FileDataset":
        """Return the dataset that the file in a folder states.

        Raises:
            CorpusError: If the file is invalid.
        """
        return cls(dataset_file.load(folder / DATASET_FILE), folder)

    def recognises(self, folder: Path) -> bool:
        """Return whether it is the folder of the file."""
        return folder == self.folder

    def without_labels(self) -> Self:
        """Return the dataset without tasks, groups and splits, whose tables may be absent."""
        unlabelled = copy(self)
        unlabelled.stated = self.stated.model_copy(update={"tasks": {}, "group": None, "split": None})
        return unlabelled

    def owns(self, path: Path) -> bool:
        """Return whether the file says that a file belongs."""
        if not super().owns(path) or not self.stated.files:
            return super().owns(path)
        place = path.relative_to(self.folder).as_posix()
        return _fits(place, self.stated.files) or _fits(place, self._trial_globs)

    def eeg_files(self, folder: Path) -> list[Path]:
        """Return the recordings that belong, sorted, without the files that the dataset file names."""
        named = {(folder / name).resolve() for name in self._named}
        if self.stated.files:
            fitting = self._fitting(folder, self.stated.files)
            listed = [path for path in fitting if _is_recording(path)]
        else:
            listed = Folder().within(self.corpus or folder).eeg_files(folder)
        trials = set(self._fitting(folder, self._trial_globs))
        return [path for path in listed if path.resolve() not in named and path not in trials]

    @property
    def _trial_globs(self) -> tuple[str, ...]:
        return self.stated.trials.files if self.stated.trials else ()

    def _fitting(self, folder: Path, globs: Sequence[str]) -> list[Path]:
        """Return the files that fit one of the globs, sorted."""
        if not globs:
            return []
        return [path for path in list_files(folder, self.corpus) if _fits(path.relative_to(folder).as_posix(), globs)]

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every recording that belongs, with subject, session, group, split and stated labels.

        Raises:
            SubjectPatternError: If the pattern does not match a recording.
            TableError: If a table is unusable or contradicts the recordings.
        """
        yield from self.contents(folder).files

    def contents(self, folder: Path) -> Contents:
        """Return all recordings, and the rows of tables that are not used; see `recordings`."""
        notes: list[str] = []
        files = self._with_subjects(folder, notes)
        files = self._with_groups(folder, files, notes)
        files = self._with_splits(folder, files, notes)
        stated = stated_labels.collect(self.stated.tasks, folder, files)
        dropped = frozenset(self.stated.channels.drop)
        labelled = tuple(
            replace(
                file,
                labels=tuple(stated.labels.get(file.name, ())),
                excluded_channels=file.excluded_channels | dropped,
            )
            for file in files
        )
        return Contents(labelled, (*notes, *stated.notes))

    def _with_subjects(self, folder: Path, notes: list[str]) -> list[RecordingFile]:
        if self.stated.bids:
            bids = Bids().within(self.corpus or folder)
            wanted = set(self.eeg_files(folder))
            listed = [file for file in bids.recordings(folder) if file.path in wanted]
            return [replace(f, dataset=self.name, place=f.path.relative_to(folder).as_posix()) for f in listed]
        places = [(path, path.relative_to(folder).as_posix()) for path in self.eeg_files(folder)]
        files = [RecordingFile(self.name, path, "", place=place) for path, place in places]
        named: list[RecordingFile] = []
        if self.stated.trials:
            of_table: SubjectSource = "table"
            layout_of(self.stated.trials, folder)  # raises LabelError if the channel names are missing
            paths = self._fitting(folder, self._trial_globs)
            if not paths:
                raise CorpusError(
                    f"no file fits {' or '.join(self._trial_globs)}",
                    file=DATASET_FILE,
                    field="trials.files",
                    remedy="Correct the globs, relative to the dataset file",
                )
            for file, subject in trial_recordings(self.name, self.stated.trials, folder, paths):
                if subject:
                    named.append(replace(file, subject=subject, subject_source=of_table))
                else:
                    files.append(file)
        if isinstance(self.stated.subject, SubjectTable):
            return [*self._subjects_of_table(self.stated.subject, folder, files, notes), *named]
        return [*(self._subject_of_path(file) for file in files), *named]

    def _subject_of_path(self, file: RecordingFile) -> RecordingFile:
        if not isinstance(self.stated.subject, str):
            raise SubjectPatternError(
                "nothing states the subject of this recording",
                file=file.place,
                field=f"subject in {DATASET_FILE}",
                remedy="State subject, a pattern, or in `files` which recordings belong",
            )
        pattern = self.stated.subject
        match = search(pattern, file.place, f"subject in {DATASET_FILE}")
        if match is None or not (match["subject"] or "").strip():
            raise SubjectPatternError(
                f"the pattern {pattern!r} finds no subject in the path of this recording",
                file=file.place,
                field=f"subject in {DATASET_FILE}",
                remedy="Extend the pattern so that it matches every recording, or state in `files` which belong",
            )
        session = match.groupdict().get("session") or file.session or file.place
        return replace(file, subject=composed(match["subject"]), session=session, subject_source="pattern")

    def _subjects_of_table(
        self, source: SubjectTable, folder: Path, files: list[RecordingFile], notes: list[str]
    ) -> list[RecordingFile]:
        table = read_table(folder / source.table, folder)
        found: dict[str, tuple[str, str]] = {}
        by_file = source.model_copy(update={"subject": "", "session": ""})
        table.require(source.subject, source.session)
        matcher = Matcher(table, by_file, files)
        for row, matched in matcher:
            session = row.stated(source.session) if source.session else ""
            for file in matched:
                stated = (composed(_required(table, row.number, source.subject, row.stated(source.subject))), session)
                if found.setdefault(file.name, stated) != stated:
                    raise _contradiction(table, f"row {row.number}", f"{file.name} has two subjects", source.subject)
        notes += [matcher.describe(row) for row in matcher.unmatched]
        if absent := [file.name for file in files if file.name not in found]:
            raise TableError(
                f"{len(absent)} recordings have no row, such as {absent[0]}",
                kind=f"{len(absent)} recordings have no row",
                file=table.name,
                field="subject",
                remedy="Add their rows, or state in `files` which recordings belong",
            )
        named: SubjectSource = "table"
        return [
            replace(file, subject=subject, session=session or file.place, subject_source=named)
            for file in files
            for subject, session in [found[file.name]]
        ]

    def _with_groups(self, folder: Path, files: list[RecordingFile], notes: list[str]) -> list[RecordingFile]:
        source = self.stated.group
        if isinstance(source, GroupTable):
            groups = _values(_by_place(folder, source, source.group, files, notes))
        elif source is None:
            return files
        else:
            matches = {file.name: search(source, file.place, f"group in {DATASET_FILE}") for file in files}
            groups = {name: match["group"] for name, match in matches.items() if match and match["group"]}
            if not groups:
                raise stated_labels.nothing_matches("group", source, len(files))
        grouped = [replace(file, group=groups.get(file.name, file.group)) for file in files]
        if without := [file.name for file in grouped if not file.group]:
            notes.append(
                f"{len(without)} recordings have no group, such as {without[0]}: their subjects are on their own"
            )
        return grouped

    def _with_splits(self, folder: Path, files: list[RecordingFile], notes: list[str]) -> list[RecordingFile]:
        source = self.stated.split
        if source is None:
            return files
        rows = _by_place(folder, source, source.split, files, notes)
        table = Table(Path(source.table).name, (), ())
        for split, number in rows.values():
            if split not in _SPLITS:
                problem = f"unknown split {split!r}; the splits are {', '.join(_SPLITS)}"
                raise _contradiction(table, f"row {number}", problem, source.split)
        for unit in ("subject", "group"):
            stated: dict[str, tuple[str, int]] = {}
            for file in (one for one in files if one.name in rows):
                name = file.subject if unit == "subject" else file.group
                split, number = rows[file.name]
                first, earlier = stated.setdefault(name, (split, number)) if name else (split, number)
                if first != split:
                    places = f"rows {min(earlier, number)} and {max(earlier, number)}"
                    problem = f"{unit} {name!r} is in two splits: {', '.join(sorted((first, split)))}"
                    raise _contradiction(table, places, problem, source.split)
        if without := [file.name for file in files if file.name not in rows]:
            notes.append(f"{len(without)} recordings have no split, such as {without[0]}: it is drawn for them")
        known = cast("dict[str, Literal['train', 'validation', 'test']]", _values(rows))
        return [replace(file, split=known.get(file.name)) for file in files]

    def labels(self, file: RecordingFile, recording: Recording) -> Sequence[LabelSpan]:
        """Return the stated labels and those of events."""
        return stated_labels.spans(self.stated.tasks, file, recording, self.stated.skip_start, self.folder)

    def sidecars(self, file: RecordingFile) -> Sequence[Path]:
        """Return the files beside a recording that its labels depend on: BIDS events, and labels of trials."""
        sources = [source for task in self.stated.tasks.values() for source in task.labels]
        events = [stated_labels.events_table(file.path)] if any(one.bids == "events" for one in sources) else []
        return [*events, *(array_path(one, file, self.folder) for one in sources if one.trials)]

    def read(self, file: RecordingFile) -> Recording:
        """Read a recording without what is skipped, or the trials of a file."""
        stated = self.stated
        if stated.trials and file.part:
            expected = 0
            if stated.trials.table:
                expected = len(table_of(stated.trials.table, file.path, self.folder).rows)
            layout = layout_of(stated.trials, self.folder)
            recording = read_trials(file.path, layout, file.trials, expected)
            return with_names(recording.scaled(self.scale(file.path)), stated.channels)
        recording = with_names(super().read(file), stated.channels)
        if not (stated.skip_start or stated.skip_end or stated.at_most):
            return recording
        stop = recording.seconds - stated.skip_end
        return recording.cropped(stated.skip_start, min(stop, stated.skip_start + (stated.at_most or stop)))

    def read_version(self, file: RecordingFile) -> str:
        """Return what is skipped, how channels are renamed, and how an array is read; empty if nothing is stated."""
        stated = self.stated
        settings: list[object] = [stated.skip_start, stated.skip_end, stated.at_most]
        if stated.channels != Channels():
            settings.append(stated.channels.model_dump(mode="json"))
        if stated.trials and file.part:
            layout = layout_of(stated.trials, self.folder)
            settings += [None if layout is None else asdict(layout), stated.trials.pad, file.trials]
        return _digest(settings) if any(settings) else ""

    def label_version(self, file: RecordingFile) -> str:
        """Return a hash of what the file states of a recording, and of how labels are read."""
        tasks = {name: task.model_dump(mode="json") for name, task in self.stated.tasks.items()}
        rows = [(stated.task, stated.onset, stated.duration, stated.label) for stated in file.labels]
        return _digest([tasks, rows, file.subject, file.session, file.group, file.split])

    def scale(self, path: Path) -> float:
        """Return the factor that corrects the unit of a file."""
        factor = self.stated.unit_scale
        return factor if isinstance(factor, float) else factor.get(path.suffix.lower(), 1.0)

    def task_title(self, task: str) -> str:
        """Return the title of a task in reports."""
        return self.stated.tasks[task].title or super().task_title(task)

    def task_kind(self, task: str) -> Kind:
        """Return the kind of a task."""
        return self.stated.tasks[task].kind


def _fits(place: str, globs: Sequence[str]) -> bool:
    """Return whether a relative path fits one of the globs; ``**/`` stands for any folders."""
    return any(re.fullmatch(_as_pattern(composed(glob)), composed(place)) for glob in globs)


@cache
def _as_pattern(glob: str) -> str:
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.sub(r"\*\*/|\*\*|\*|\?|\[[^]]+\]|.", lambda m: parts.get(m[0]) or _literal(m[0]), glob)


def _literal(text: str) -> str:
    """Return one character, or a set of them; `[!…]` has all others, as in shells."""
    if len(text) == 1:
        return re.escape(text)
    members = re.sub(r"([\\^\[&~|])", r"\\\1", text[1:-1].removeprefix("!"))
    pattern = f"[{'^/' if text.startswith('[!') else ''}{members}]"
    try:
        re.compile(pattern)
    except re.error:  # such as a range from z to a
        return re.escape(text)
    return pattern


def _is_recording(path: Path) -> bool:
    try:
        return path.is_file() and is_recording(path)
    except (OSError, ReadError):
        return True


def _by_place(
    folder: Path, source: GroupTable | SplitTable, column: str, files: Sequence[RecordingFile], notes: list[str]
) -> dict[str, tuple[str, int]]:
    """Return the value of a column, and its row, for each recording that a row with a value matches."""
    table = read_table(folder / source.table, folder)
    table.require(column)
    matcher = Matcher(table, source, files)
    values: dict[str, tuple[str, int]] = {}
    for row, matched in matcher:
        for file in matched:
            value = row.stated(column)
            first, number = values.setdefault(file.name, (value, row.number))
            if first != value:
                places = f"rows {number} and {row.number}"
                raise _contradiction(table, places, f"{file.name} has two values of {column}", column)
    notes += [matcher.describe(row) for row in matcher.unmatched]
    return {place: (value, number) for place, (value, number) in values.items() if value}


def _values(rows: dict[str, tuple[str, int]]) -> dict[str, str]:
    return {name: value for name, (value, _) in rows.items()}


def _required(table: Table, number: int, column: str, value: str) -> str:
    if not value:
        raise _contradiction(table, f"row {number}", f"no value in column {column!r}", column)
    return value


def _contradiction(table: Table, where: str, problem: str, field: str) -> TableError:
    return TableError(
        f"{where}: {problem}" if where else problem,
        kind=f"{where}: a contradiction in column {field!r}" if where else f"a contradiction in column {field!r}",
        file=table.name,
        field=field,
        remedy="Correct the table so that each recording, subject and group has one value",
    )


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
