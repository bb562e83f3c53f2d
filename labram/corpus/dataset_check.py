"""Check a dataset file against its folder before anything is trained: in seconds, from headers and a sample of signals.

Results have paths, subjects and labels as their owner wrote them: they are for the terminal only, never to be stored.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

from labram.corpus import pseudonyms
from labram.corpus.catalogue import ACCEPTED, SPLITS, Corpus, Split
from labram.corpus.dataset_hints import simultaneous, small_amplitude, wrong_rate
from labram.corpus.ingest import identity_row
from labram.corpus.process_recording import process_recording, require_own_sidecars
from labram.corpus.quality import check_quality
from labram.corpus.reasons import explain
from labram.corpus.scan import Content, Item, hash_item, why_not_read
from labram.corpus.splits import MIN_SUBJECTS, assign_splits
from labram.datasets.base import LabelSpan, RecordingFile
from labram.datasets.stated.dataset_file import DATASET_FILE
from labram.datasets.stated.file_dataset import FileDataset
from labram.errors import CorpusError, LabelError, ReadError
from labram.events import Monitor, NullMonitor
from labram.recipe import Recipe
from labram.scratch_folder import scratch_folder
from labram.signals.electrodes import canonical_names
from labram.signals.readers.isolated_reader import ReaderFailed
from labram.store.store import Store

SAMPLE, SAMPLE_SECONDS = 4, 60.0
"""Recordings, of different subjects if there are as many, and seconds of each, that the quality rules are tried on."""
MOST_HASHED_BYTES = 1 << 32
"""Size of a folder up to which splits are predicted: they depend on the content of all files."""
_KEY = b"only within this check"


@dataclass(frozen=True)
class CheckedFile:
    """One recording.

    Attributes:
        file: The recording.
        seconds: Duration; 0 if it cannot be read.
        problem: Why it cannot be read, or its labels cannot be used; empty if there is no problem.
        spans: Its labels.
        channels: Channels that the model knows.
        trials: Number of trials; 0: a continuous recording.
    """

    file: RecordingFile
    seconds: float = 0.0
    problem: str = ""
    spans: tuple[LabelSpan, ...] = ()
    channels: int = 0
    trials: int = 0


@dataclass(frozen=True)
class ClassCounts:
    """Labels of one class.

    Attributes:
        task: Name of the task.
        name: Name of the class; empty for a regression.
        subjects: Subjects that have it.
        recordings: Recordings that have it.
        seconds: Duration of its labels.
        splits: Subjects by split; empty if splits are not predicted.
    """

    task: str
    name: str
    subjects: int
    recordings: int
    seconds: float
    splits: Mapping[Split, int]


@dataclass(frozen=True)
class Judged:
    """What the quality rules find in the beginning of one recording.

    Attributes:
        place: Its path.
        accepted: Whether it would be accepted.
        findings: Reasons and warnings with what to do about them.
    """

    place: str
    accepted: bool
    findings: tuple[str, ...]


@dataclass(frozen=True)
class DatasetCheck:
    """Result of `check_dataset`.

    Attributes:
        name: Name of the dataset.
        files: All recordings.
        classes: Labels by class.
        notes: Rows of tables that are not used.
        unlabelled: Recordings without labels, by task.
        doubts: What will keep a task from being trained or evaluated.
        sample: Verdicts of the quality rules on the beginning of a few recordings.
        hints: What is worth a look: recordings at one time, peaks of the spectrum, small amplitudes.
    """

    name: str
    files: tuple[CheckedFile, ...]
    classes: tuple[ClassCounts, ...]
    notes: tuple[str, ...]
    unlabelled: Mapping[str, tuple[str, ...]]
    doubts: tuple[str, ...]
    sample: tuple[Judged, ...]
    hints: tuple[str, ...] = ()

    @property
    def subjects(self) -> int:
        """Number of subjects."""
        return len({one.file.subject for one in self.files})

    @property
    def channels(self) -> int:
        """Largest number of channels that the model knows."""
        return max((one.channels for one in self.files), default=0)

    @property
    def groups(self) -> int:
        """Number of stated groups."""
        return len({one.file.group for one in self.files if one.file.group})

    @property
    def within_session(self) -> bool:
        """Whether there are too few subjects, or groups of them, for models of other people."""
        return bool(_few(self.files))

    @property
    def hours(self) -> float:
        """Hours that can be read."""
        return sum(one.seconds for one in self.files) / 3600

    def median_label_seconds(self, task: str) -> float:
        """Return the median duration of the labelled spans of a task; 0 if there are none."""
        durations = sorted(span.duration for one in self.files for span in one.spans if span.task == task)
        return durations[len(durations) // 2] if durations else 0.0


def check_dataset(
    dataset: FileDataset, recipe: Recipe, *, monitor: Monitor | None = None, sample: bool = True
) -> DatasetCheck:
    """Read the headers and labels of all recordings and the beginning of a few; nothing is stored.

    Args:
        dataset: The dataset.
        recipe: Its sections `preprocessing`, `quality` and `split`, and its seed.
        monitor: Receives progress.
        sample: Whether to try the quality rules on a sample.

    Raises:
        CorpusError: If the folder has no recording that belongs, or the pattern of subjects does not match one.
        TableError: If a table is unusable or contradicts the recordings.
    """
    contents = dataset.contents(dataset.folder)
    if not contents.files:
        raise CorpusError(
            "no recording belongs to the dataset",
            file=dataset.folder,
            field="files",
            remedy="Correct the globs, or remove the key to use all recordings",
        )
    monitor = monitor or NullMonitor()
    files = []
    for number, file in enumerate(contents.files, start=1):
        files.append(_checked(dataset, file))
        monitor.progress(number, len(contents.files))
    splits = _splits(dataset, files, recipe)
    few = _few(files)
    hints = simultaneous([(one.file, one.seconds) for one in files]) if sample else []
    classes = tuple(counts for task in dataset.tasks for counts in _classes(dataset, task, files, splits))
    return DatasetCheck(
        name=dataset.name,
        files=tuple(files),
        classes=classes,
        notes=(*contents.notes, *(note for task in dataset.tasks for note in _missing(task, files))),
        unlabelled={task: _unlabelled(task, files) for task in dataset.tasks},
        doubts=() if few else tuple(doubt for task in dataset.tasks for doubt in _doubts(task, classes)),
        sample=tuple(_judge(dataset, files, recipe, hints)) if sample else (),
        hints=(*few, *hints),
    )


def _few(files: Sequence[CheckedFile]) -> tuple[str, ...]:
    """Return what can be done with fewer subjects, or groups of them, than there are splits."""
    subjects, units = ({one.file.subject for one in files}, {one.file.group or one.file.subject for one in files})
    if len(units) >= MIN_SUBJECTS:
        return ()
    groups = f" in {len(units)} groups" if len(units) < len(subjects) else ""
    models = "models of one person only (split.kind: within-session), as `labram recipe init` drafts"
    return (f"{len(subjects)} subjects{groups}: {models}",)


def _checked(dataset: FileDataset, file: RecordingFile) -> CheckedFile:
    if refused := file.quarantined or why_not_read(file.path, dataset.corpus or dataset.folder):
        return CheckedFile(file, problem=refused[1])
    try:
        recording = pseudonyms.withhold_unknown_events(dataset.read(file), dataset.event_codes)
    except (ReadError, ReaderFailed, OSError) as error:
        return CheckedFile(file, problem=str(error))
    channels = sum(name is not None for name in canonical_names(recording.channels))
    try:
        require_own_sidecars(Item(dataset, dataset.folder, file))
        spans = dataset.labels(file, recording)
    except LabelError as error:
        return CheckedFile(file, recording.seconds, str(error), channels=channels)
    ends = [(span, min(span.duration, recording.seconds - span.onset)) for span in spans if span.onset >= 0]
    late = f"{len(spans) - len(ends)} labels begin before the recording" if len(spans) > len(ends) else ""
    if beyond := sum(duration <= 0 for _, duration in ends):
        late = f"{beyond} labels begin after the end of the recording, {recording.seconds:.1f} s"
    kept = tuple(LabelSpan(span.task, span.onset, duration, span.label) for span, duration in ends if duration > 0)
    trials = recording.samples // recording.trial_samples if recording.trial_samples else 0
    return CheckedFile(file, recording.seconds, late, kept, channels, trials)


def _splits(dataset: FileDataset, files: Sequence[CheckedFile], recipe: Recipe) -> dict[str, Split]:
    """Return the split of each subject as a run would draw it; empty in a cross-validation, or of a large folder."""
    if recipe.split.cross_validated or _few(files):
        return {}
    usable = [one for one in files if one.seconds]
    sizes = [one.file.path.stat().st_size for one in usable]
    if sum(sizes) > MOST_HASHED_BYTES or not usable:
        return {}
    rows = [
        {
            "recording_id": one.file.name,
            "dataset": dataset.name,
            "subject_key": one.file.subject,
            "group_key": one.file.group,
            "subject_source": one.file.subject_source,
            "content_hash": hash_item(Item(dataset, dataset.folder, one.file)).digest,
            "montage": [],
            "verdict": ACCEPTED,
            "reasons": [],
            "warnings": [],
            "split": one.file.split or "",
        }
        for one in usable
    ]
    labels = [
        {"recording_id": one.file.name, "task": span.task, "start": span.onset, "seconds": span.duration}
        | {"label": list(span.label)}
        for one in usable
        for span in one.spans
    ]
    return assign_splits(Corpus.of(rows, labels), recipe.split, recipe.seed)


def _classes(
    dataset: FileDataset, task: str, files: Sequence[CheckedFile], splits: Mapping[str, Split]
) -> list[ClassCounts]:
    names = ("",) if task in dataset.regressions else dataset.tasks[task]
    counts = []
    for index, name in enumerate(names):
        mine = [
            (one.file, span)
            for one in files
            for span in one.spans
            if span.task == task and (not name or span.label == (float(index),))
        ]
        subjects = {file.subject for file, _ in mine}
        by_split = {split: sum(splits[subject] == split for subject in subjects) for split in SPLITS} if splits else {}
        counts.append(
            ClassCounts(
                task,
                name,
                len(subjects),
                len({file.name for file, _ in mine}),
                sum(span.duration for _, span in mine),
                by_split,
            )
        )
    return counts


def _unlabelled(task: str, files: Sequence[CheckedFile]) -> tuple[str, ...]:
    return tuple(one.file.name for one in files if not any(span.task == task for span in one.spans))


def _missing(task: str, files: Sequence[CheckedFile]) -> Iterator[str]:
    """Yield a note for each file of trials of which some have no label of a task that others have."""
    for one in files:
        spans = [span for span in one.spans if span.task == task]
        missing = one.trials - len(spans)
        if spans and missing > 0:
            yield f"{one.file.name}: {missing} of {one.trials} trials have no label of task {task!r}; not used"


def _doubts(task: str, classes: Sequence[ClassCounts]) -> list[str]:
    doubts = []
    for counts in classes:
        if counts.task != task:
            continue
        what = f"class {counts.name!r}" if counts.name else "the targets"
        if counts.subjects < MIN_SUBJECTS:
            doubts.append(
                f"task {task!r}: {what} of {counts.subjects} subjects; each split needs one, at least {MIN_SUBJECTS}"
            )
        elif empty := [split for split, number in counts.splits.items() if not number]:
            doubts.append(f"task {task!r}: {what} of no subject in the split {' and '.join(empty)}")
    return doubts


def _judge(dataset: FileDataset, files: Sequence[CheckedFile], recipe: Recipe, hints: list[str]) -> list[Judged]:
    """Try the quality rules on the beginning of a few recordings, and add hints on their signals."""
    usable = [one for one in files if one.seconds]
    first = list({one.file.subject: one for one in reversed(usable)}.values())[::-1]
    chosen = [first[round(index * (len(first) - 1) / max(1, SAMPLE - 1))] for index in range(min(SAMPLE, len(first)))]
    short = copy(dataset)
    most = min(dataset.stated.at_most or SAMPLE_SECONDS, SAMPLE_SECONDS)
    short.stated = dataset.stated.model_copy(update={"at_most": most, "tasks": {}})
    with scratch_folder() as scratch:
        store = Store(scratch / "store")
        rows = []
        for one in chosen:
            item = Item(short, dataset.folder, replace(one.file, labels=()))
            result = process_recording(item, store, store.key(one.file.name), recipe.preprocessing)
            wrong = wrong_rate(short.read(one.file), dataset.line_freq(one.file))
            small = small_amplitude(result["row"].get("band_rms_uv"))
            hints += [f"{one.file.name}: {hint}" for hint in (wrong, small) if hint]
            identity = identity_row(item, Content(_content_name(one.file.name), 0), _KEY)
            warnings = [*identity["warnings"], *result["row"].get("warnings", [])]
            rows.append({**identity, **result["row"], "recording_id": one.file.name, "warnings": warnings})
        if not rows:
            return []
        Corpus.of(rows, []).save(scratch / "part")
        try:
            check_quality([scratch / "part"], scratch / "out", recipe.quality, recipe.split, store=store)
        except CorpusError:  # none is accepted
            if not (scratch / "out").exists():
                raise
        return [_judged(row) for row in Corpus.load(scratch / "out").catalogue.to_dict("records")]


def _content_name(text: str) -> str:
    """Return a name that differs between recordings, in place of a hash of their content."""
    return pseudonyms.pseudonym(_KEY, text, digits=64)


def _judged(row: Mapping[object, object]) -> Judged:
    reasons, warnings = (row[column] for column in ("reasons", "warnings"))
    assert isinstance(reasons, list)
    assert isinstance(warnings, list)
    findings = []
    for code in (*reasons, *warnings):
        name, _, count = str(code).partition("=")
        text = explain(name)
        findings.append(f"{name}{f' ({count})' if count else ''}: {text.meaning}; {text.remedy}")
    return Judged(str(row["recording_id"]), row["verdict"] == ACCEPTED, tuple(findings))


def load_folder(folder: Path) -> FileDataset:
    """Return the dataset of a folder with a dataset file, or of the file itself.

    Raises:
        CorpusError: If there is none, or it is invalid.
    """
    folder = folder.parent if folder.name == DATASET_FILE else folder
    if not (folder / DATASET_FILE).is_file():
        raise CorpusError(
            f"no {DATASET_FILE} in this folder",
            file=folder,
            remedy=f"Run `labram datasets init {folder}`, which drafts one",
        )
    return FileDataset.load(folder)
