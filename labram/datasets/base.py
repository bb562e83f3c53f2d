"""`Dataset`, the base class of all adapters, and the types that adapters return.

Adapters do not guess: where the dataset's layout does not determine a file's subject, unit or label, the catalogue has
a reason code or a warning.
"""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Literal, Self

from labram.datasets.containment import lies_inside
from labram.datasets.fetch import Download
from labram.datasets.subjects import guess
from labram.datasets.walk import walk
from labram.errors import LabelError, ReadError, Reason
from labram.metrics import Kind
from labram.signals.readers import (
    COMPANIONS,
    EEG_SUFFIXES,
    SHARED_SUFFIXES,
    has_header,
    is_compressed,
    is_copy,
    is_later_part,
    is_recording,
    read,
)
from labram.signals.readers.limits import read_bytes
from labram.signals.recording import Recording
from labram.source_hash import hash_with_imports

PUBLISHED_NOTCH_HZ = 50.0
"""Notch frequency of the published preprocessing, for recordings from 60 Hz countries too."""
_OTHER_FIF = re.compile(r"[-_](eve|cov|fwd|inv|src|bem|trans|proj|ica)\.fif$", re.IGNORECASE)


class Group(IntEnum):
    """What LaBraM's paper used a dataset for. Adapters are listed group by group, and by name within a group."""

    FINETUNING = 0
    PRETRAINING = 1
    OTHER = 2
    SIMULATED = 3
    GENERIC = 4


SubjectSource = Literal["adapter", "pattern", "table", "bids", "guessed"]
"""What states a recording's subject: the dataset's layout, a pattern, a table, BIDS entities, or nothing."""


@dataclass(frozen=True)
class StatedLabel:
    """A label that a table or the path states before the recording is read.

    Attributes:
        task: Name of the task.
        onset: Seconds from the start of the file; None: the whole recording, or `trial`.
        duration: Length in seconds; None: the whole recording.
        label: See `LabelSpan`.
        trial: Position of the labelled trial in the recording; None: the label is not that of a trial.
    """

    task: str
    onset: float | None
    duration: float | None
    label: tuple[float, ...]
    trial: int | None = None


@dataclass(frozen=True)
class RecordingFile:
    """One recording of a dataset, described by its path before the file is read.

    Attributes:
        dataset: Name of the adapter.
        path: The file, or the header file of a recording of several files.
        subject: The dataset's own subject ID. It never leaves the ingest process (see `labram.corpus.pseudonyms`).
        session: Session, run or part that distinguishes the recordings of a subject.
        alternate_of: The same session in the preferred format; this recording is quarantined as a duplicate.
        quarantined: Reason code and explanation of a file that the adapter identifies as unusable.
        split: Split that the dataset's authors assigned to the subject, None if they did not. `labram.corpus.splits`
            keeps it and splits only the subjects without one.
        line_freq_hz: Line frequency of this recording; None: that of the dataset.
        reference: Recording reference of this recording; empty: that of the dataset.
        rate_hz: Sampling rate that the dataset's metadata state; the file's is used. None: not stated.
        duration_seconds: Duration that the dataset's metadata state; None: not stated.
        bad_spans: Start and stop in seconds of the spans that are bad by the dataset's metadata; no window has them.
        excluded_channels: Names of channels that are bad or not EEG by the dataset's metadata; they are left out.
        notes: Warning codes of metadata that were repaired or not understood (docs/quality.md).
        subject_source: What states the subject. A guessed one may be used for pre-training only.
        group: What must stay together in one split, such as a couple or a family; empty: the subject alone.
        place: Path relative to the dataset's folder, where the dataset needs it.
        labels: Labels that a table or the path states.
        trials: Indices of the trials of the file that are this recording's; None: all, or no trials.
        part: What distinguishes this recording from others in the same file; empty: it is the whole file.
    """

    dataset: str
    path: Path
    subject: str
    session: str = ""
    alternate_of: Path | None = None
    quarantined: tuple[Reason, str] | None = None
    split: Literal["train", "validation", "test"] | None = None
    line_freq_hz: float | None = None
    reference: str = ""
    rate_hz: float | None = None
    duration_seconds: float | None = None
    bad_spans: tuple[tuple[float, float], ...] = ()
    excluded_channels: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    subject_source: SubjectSource = "adapter"
    group: str = ""
    place: str = ""
    labels: tuple[StatedLabel, ...] = ()
    trials: tuple[int, ...] | None = None
    part: str = ""

    @property
    def name(self) -> str:
        """Its path in the dataset's folder, with its part if the file holds several recordings. Never to be stored."""
        return f"{self.place} ({self.part})" if self.trials is not None else self.place


@dataclass(frozen=True)
class LabelSpan:
    """A labelled span of a recording, cut into consecutive windows of the task's length from `onset`.

    A long state (rest, arithmetic) yields many windows, an epoch around an event yields one. A remainder shorter than a
    window is not used.

    Attributes:
        task: Name of the task.
        onset: Seconds from the start of the recording. Negative only with ``compatibility: published``: the window then
            starts that long before the end of the recording and wraps around to its start.
        duration: Length of the span in seconds.
        label: The class index alone, or the regression targets in the order of the recipe's `classes`.
        excluded: Why the span must not be used, as a word_like_this; excluded spans are counted in the warnings.
    """

    task: str
    onset: float
    duration: float
    label: tuple[float, ...]
    excluded: str = ""


class Dataset:
    """An adapter: where a dataset keeps its recordings, subjects and labels, with its metadata.

    Attributes:
        name: Name in recipes and catalogues, and of its folder in the corpus. Classes without one are abstract.
        title: Title of the dataset.
        line_freq_hz: Power line frequency where it was recorded (BIDS: PowerLineFrequency).
        reference: Recording reference, as the dataset's description states it.
        licence: Licence of the recordings.
        citation: Publications to cite.
        obtain: How to obtain the recordings.
        download: Archive that `labram corpus fetch` downloads from; None: not openly available, see `obtain`.
        layout: Globs; a folder with a match has the dataset's layout.
        file_name: Pattern of the names of recordings, with the groups `subject` and `session`.
        unit_scale: Factor that corrects the file's unit, by lower-case suffix; absent: 1.
        tasks: Tasks with labels, each with its class names in the order of their indices, or its target names.
        regressions: Tasks whose labels are values of targets; the labels of all others are classes.
        event_codes: Codes of the events that `labels` uses. The text of all other events is removed first (see
            `labram.corpus.pseudonyms`), because technicians write names into annotations.
        population: Name shared by datasets with common subject IDs, so that a person is one subject in all of them;
            empty: the IDs belong to this dataset alone.
        ids_of_folder: Whether equal IDs in two folders of this adapter are different subjects.
        group: What the paper used it for. The released weights of LaBraM were pre-trained on the datasets in
            `Group.PRETRAINING` (paper, appendix D).
        max_window_uv: Largest amplitude in a window, instead of the recipe's; None: that of the recipe.
        suffixes: Lower-case suffixes of its recordings. Every file with an EEG suffix is a catalogue row; of other
            suffixes (tables, MATLAB files), only files whose name matches `file_name`.
    """

    name: str
    title: str
    line_freq_hz: float
    reference: str
    licence: str
    citation: str
    obtain: str
    download: Download | None = None
    layout: tuple[str, ...] = ()
    file_name: re.Pattern[str] = re.compile(".+")
    unit_scale: Mapping[str, float] = {}
    tasks: Mapping[str, tuple[str, ...]] = {}
    regressions: frozenset[str] = frozenset()
    event_codes: frozenset[str] = frozenset()
    population: str = ""
    ids_of_folder: bool = False
    group: Group = Group.OTHER
    max_window_uv: float | None = None
    suffixes: frozenset[str] = EEG_SUFFIXES

    published = False
    apart: tuple[Path, ...] = ()
    """Files and folders inside the dataset's folder that are not the dataset's (see `without`)."""
    corpus: Path | None = None
    """The corpus folder, which links must not leave; None: the dataset's folder (see `within`)."""

    @property
    def simulated(self) -> bool:
        """Whether a program generates its recordings; reports state it on every page."""
        return self.group is Group.SIMULATED

    def as_published(self) -> Self:
        """Return an adapter that prepares recordings and labels as the published code does."""
        published = copy(self)
        published.published = True
        return published

    def without(self, *apart: Path) -> Self:
        """Return an adapter that leaves out some files and folders, because they belong to other datasets."""
        limited = copy(self)
        limited.apart = apart
        return limited

    def within(self, corpus: Path) -> Self:
        """Return an adapter that follows links in a whole corpus folder, not in the dataset's folder only."""
        bound = copy(self)
        bound.corpus = corpus
        return bound

    def without_labels(self) -> Self:
        """Return an adapter that reads no tables of labels, which predictions do not need."""
        return self

    def owns(self, path: Path) -> bool:
        """Return whether a file in the dataset's folder is not left out (see `without`)."""
        return not any(path.is_relative_to(other) for other in self.apart)

    def recognises(self, folder: Path) -> bool:
        """Return whether `folder` has the dataset's layout."""
        return any(self.file_name.fullmatch(path.name) for glob in self.layout for path in folder.glob(glob))

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every EEG file below `folder` in a fixed order; the subject of a file with another name is guessed."""
        for path in self.eeg_files(folder):
            match = self.file_name.fullmatch(path.name)
            parts = match.groupdict() if match else {}
            subject, session = parts.get("subject"), parts.get("session") or ""
            if subject:
                yield RecordingFile(self.name, path, subject, session)
            else:
                place = path.relative_to(folder).as_posix()
                yield RecordingFile(self.name, path, guess(place), session or place, subject_source="guessed")

    def labels(self, file: RecordingFile, recording: Recording) -> Sequence[LabelSpan]:
        """Return the labelled spans of a recording.

        Raises:
            LabelError: If required labels are missing or invalid; the recording is kept, with a warning.
        """
        del file, recording
        return ()

    def sidecars(self, file: RecordingFile) -> Sequence[Path]:
        """Return the files beside a recording that its labels depend on."""
        del file
        return ()

    def read(self, file: RecordingFile) -> Recording:
        """Read a recording; overridden by adapters that add what the file does not state, such as channel names.

        Raises:
            ReadError: If the file cannot be read.
        """
        return read(file.path, unit_scale=self.scale(file.path))

    @classmethod
    def code_version(cls) -> str:
        """Return a hash of the adapter's module and the modules of `labram.datasets` that it imports."""
        return _code_version(Path(inspect.getfile(cls)))

    def read_version(self, file: RecordingFile) -> str:
        """Return what the result of `read` depends on besides the file itself; empty if `read` is not overridden."""
        del file
        return "" if type(self).read is Dataset.read else self.code_version()

    def label_version(self, file: RecordingFile) -> str:
        """Return what labels depend on besides recording, sidecars and the code of labram; empty: on nothing else."""
        del file
        return "" if Path(inspect.getfile(type(self))).parent == Path(__file__).parent else self.code_version()

    def task_title(self, task: str) -> str:
        """Return the title of a task in reports."""
        return task.replace("_", " ").capitalize()

    def task_kind(self, task: str) -> Kind:
        """Return the kind of a task."""
        if task in self.regressions:
            return "regression"
        return "binary" if len(self.tasks[task]) == 2 else "multiclass"

    def line_freq(self, file: RecordingFile) -> float:
        """Return the line frequency of a recording in Hz."""
        return file.line_freq_hz or self.line_freq_hz

    def notch_freq(self, file: RecordingFile) -> float:
        """Return the frequency in Hz that preprocessing removes, with its harmonics."""
        return PUBLISHED_NOTCH_HZ if self.published else self.line_freq(file)

    def eeg_files(self, folder: Path) -> list[Path]:
        """Return the EEG files below `folder` by suffix, sorted, without files that only accompany a recording."""
        return [
            path
            for path in list_files(folder, self.corpus)
            if (
                (path.suffix.lower() in self.suffixes and self._is_recording(path, self.corpus or folder))
                or is_compressed(path)
                or is_copy(path)
                or _is_folder(path)
            )
            if self.owns(path)
        ]

    def _is_recording(self, path: Path, corpus: Path) -> bool:
        if path.suffix.lower() in EEG_SUFFIXES:
            return not _accompanies(path, corpus)
        return self.file_name.fullmatch(path.name) is not None

    def scale(self, path: Path) -> float:
        """Return the factor that corrects the unit of a file (see `unit_scale`)."""
        return self.unit_scale.get(path.suffix.lower(), 1.0)


def read_label_text(path: Path) -> str:
    """Return the text of a label file.

    Raises:
        LabelError: If the file is missing, no regular file of at most 64 MiB, or not UTF-8 text.
    """
    try:
        return read_bytes(path).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, UnicodeDecodeError, ReadError):
        raise LabelError(
            "the label file is missing or not UTF-8 text", file=path.name, remedy="Restore the dataset's original file"
        ) from None


def invalid_labels(path: Path) -> LabelError:
    """Return the error for a label file whose content contradicts the dataset's description."""
    return LabelError(
        "the label file contradicts the dataset's description",
        file=path.name,
        remedy="Restore the dataset's original file",
    )


@cache
def _code_version(module: Path) -> str:
    return hash_with_imports(module, "labram.datasets", Path(__file__).parent)


def list_files(folder: Path, within: Path | None = None) -> list[Path]:
    """Return all files below `folder` except hidden ones, sorted by relative path.

    Symbolic links are followed, but each real folder is visited once. An EGI `.mff` folder is one entry. A folder
    without read permission, and a link to a folder outside, is one entry too, so that it is reported.

    Args:
        folder: The folder.
        within: The corpus folder, which links must not leave; None: `folder`.
    """
    paths: list[Path] = []

    def keep_unreadable(error: OSError) -> None:
        paths.append(Path(error.filename))

    for parent, folders, files in walk(folder, keep_unreadable, within):
        bundles = [name for name in folders if name.lower().endswith(".mff")]
        folders[:] = [name for name in folders if name not in bundles and not name.startswith(".")]
        paths += [parent / name for name in (*files, *bundles) if not name.startswith(".")]
    return sorted(paths, key=lambda path: path.relative_to(folder).as_posix())


def looks_like_recording(path: Path, corpus: Path) -> bool:
    """Return whether an EEG format recognises the content of a file, not a pipe or device.

    An unreadable one with an ambiguous suffix, and such a link out of the corpus, is quarantined by name.
    """
    ambiguous = path.suffix.lower() in SHARED_SUFFIXES
    try:
        if path.suffix.lower() in EEG_SUFFIXES or not path.is_file():  # such a file is one, or accompanies one
            return False
        return is_recording(path) if lies_inside(path, corpus) else ambiguous
    except (OSError, ReadError):
        return ambiguous


def _is_folder(path: Path) -> bool:
    """Whether it is a folder, or one that cannot be looked at."""
    try:
        return path.is_dir()
    except OSError:  # such as a path that is too long
        return True


def _accompanies(path: Path, corpus: Path) -> bool:
    """Whether a file with an EEG suffix is no recording of its own.

    These are FIF files of other content, later parts of a split FIF recording, and samples of a BrainVision header.
    Samples, markers and the like without their header count as a recording; reading it fails with a clear error.
    """
    if path.suffix.lower() in COMPANIONS:
        return has_header(path)
    if _OTHER_FIF.search(path.name) is not None:
        return True
    return path.suffix.lower() == ".fif" and lies_inside(path, corpus) and is_later_part(path)
