"""What every dataset adapter says about its recordings, and the words for saying it.

An adapter states; it does not guess. Where a file's subject, unit or label cannot be told from the dataset's own
layout, that is a reason code or a warning in the catalogue.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, Literal, Self

from labram.datasets.fetch import Download
from labram.errors import LabelError, Reason
from labram.signals.readers import EEG_SUFFIXES, read
from labram.signals.recording import Recording
from labram.source_hash import code

PUBLISHED_NOTCH_HZ = 50.0
"""The published preparation has this notch filter everywhere, recordings from 60 Hz countries included."""
_OTHER_FIF = re.compile(r"[-_](eve|cov|fwd|inv|src|bem|trans|proj|ica)\.fif$", re.IGNORECASE)


class Group(IntEnum):
    """What LaBraM's paper used a dataset for. Adapters are listed group by group, and by name within a group."""

    FINETUNING = 0
    PRETRAINING = 1
    OTHER = 2
    SIMULATED = 3
    GENERIC = 4


@dataclass(frozen=True)
class RecordingFile:
    """One recording as a dataset lays it out, before anything of it is read.

    Attributes:
        dataset: Name of the adapter.
        path: The file, or the header file of a recording of several files.
        subject: The dataset's own subject id. It never leaves the ingest process (see `labram.corpus.pseudonyms`).
        session: Session, run or part, for telling recordings of a subject apart.
        alternate_of: The same session in the format that is preferred; the recording goes to the quarantine.
        quarantined: Reason code and explanation of a file that the adapter knows to be unusable.
        split: The part that the dataset's authors put the subject into; None where they leave that to others. It
            holds for the subject: `labram.corpus.splits` keeps it, and shares out only subjects without one.
        line_freq_hz: Mains frequency, where the recording states its own; None: the dataset's.
        reference: Recording reference, where the layout states it for each recording; empty: the dataset's.
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


@dataclass(frozen=True)
class LabelSpan:
    """A labelled span of a recording. Windows of the task's length are cut consecutively from `onset`.

    A span as long as a state lasts (rest, arithmetic) so gives many windows; one as long as a trial gives one. What is
    left over at the end, shorter than a window, is not used.

    Attributes:
        task: Name of the task.
        onset: Seconds from the beginning of the recording. Negative in published compatibility alone: the window then
            begins so long before the end of the recording and goes on at its beginning.
        duration: Length of the span in seconds.
        label: The class index alone, or the regression targets in the order of the recipe's `classes`.
        excluded: Why the interval may not be used, in one word_like_this; it is counted and left out.
    """

    task: str
    onset: float
    duration: float
    label: tuple[float, ...]
    excluded: str = ""


class Dataset:
    """An adapter: where a dataset keeps its recordings, subjects and labels, and what is known about it.

    Attributes:
        name: Name in recipes and catalogues, and of the folder below the corpus.
        title: The dataset's title in words.
        line_freq_hz: Mains frequency where it was recorded.
        reference: Recording reference, as the dataset's description states it.
        licence: Licence of the recordings.
        citation: What to cite.
        obtain: How to get the recordings.
        download: Where `labram corpus fetch` gets them; None: not openly, see `obtain`.
        layout: Globs; a folder where one of them matches is in the dataset's layout.
        file_name: What recordings are called, with the groups `subject` and `session`.
        unit_scale: By lower-case suffix, the factor that makes the file's values true; absent: 1.
        tasks: The tasks that it has labels for, each with its classes in the order of their labels, or its targets.
        event_codes: Codes of a recording's events that its labels are made of. The text of all others is withheld
            before `labels` sees it (see `labram.corpus.pseudonyms`): technicians write names into annotations.
        population: Name of the datasets that share subject ids with this one, so that a person is one subject in all
            of them; empty: its ids are its own.
        group: What the paper used it for. The released weights of LaBraM were pre-trained on the datasets in
            `Group.PRETRAINING` (paper, appendix D).
        suffixes: Lower-case suffixes of its recordings. Every such file is a catalogue row, where the suffix says that
            it is EEG; of other suffixes (tables, MATLAB files) those called as the dataset's recordings are.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    line_freq_hz: ClassVar[float]
    reference: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str]
    obtain: ClassVar[str]
    download: ClassVar[Download | None] = None
    layout: ClassVar[tuple[str, ...]] = ()
    file_name: ClassVar[re.Pattern[str]] = re.compile(".+")
    unit_scale: ClassVar[Mapping[str, float]] = {}
    tasks: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    event_codes: ClassVar[frozenset[str]] = frozenset()
    population: ClassVar[str] = ""
    group: ClassVar[Group] = Group.OTHER
    suffixes: ClassVar[frozenset[str]] = EEG_SUFFIXES

    published = False

    @property
    def simulated(self) -> bool:
        """Whether a program generates its recordings; reports state it on every page."""
        return self.group is Group.SIMULATED

    def as_published(self) -> Self:
        """The adapter that prepares recordings and labels as the published code does, where that differs."""
        twin = copy(self)
        twin.published = True
        return twin

    def recognises(self, folder: Path) -> bool:
        """Whether `folder` is in the dataset's layout."""
        return any(self.file_name.fullmatch(path.name) for glob in self.layout for path in folder.glob(glob))

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Every EEG file below `folder`, in a fixed order; one that does not fit the layout is a subject of its own."""
        for path in self.eeg_files(folder):
            match = self.file_name.fullmatch(path.name)
            parts = match.groupdict() if match else {}
            yield RecordingFile(self.name, path, parts.get("subject") or path.stem, parts.get("session") or "")

    def labels(self, file: RecordingFile, recording: Recording) -> Sequence[LabelSpan]:
        """Labelled spans of a recording.

        Raises:
            LabelError: If labels that must be there are not; the recording stays, with a warning.
        """
        del file, recording
        return ()

    def sidecars(self, file: RecordingFile) -> Sequence[Path]:
        """Files beside a recording that its labels depend on."""
        del file
        return ()

    def read(self, file: RecordingFile) -> Recording:
        """The recording, for adapters whose files need more than `labram.signals.readers`, such as channel names.

        Raises:
            ReadError: If the file cannot be read.
        """
        return read(file.path, unit_scale=self.scale(file.path))

    def reading(self, file: RecordingFile) -> str:
        """Changes with an adapter's own `read`, and with files beside the recording that it needs."""
        del file
        if type(self).read is Dataset.read:
            return ""
        return sha256(code(Path(str(sys.modules[type(self).__module__].__file__)))).hexdigest()[:12]

    def line_freq(self, file: RecordingFile) -> float:
        """Mains frequency where the recording was made."""
        return file.line_freq_hz or self.line_freq_hz

    def notch_freq(self, file: RecordingFile) -> float:
        """The frequency that preprocessing takes out, with its harmonics."""
        return PUBLISHED_NOTCH_HZ if self.published else self.line_freq(file)

    def eeg_files(self, folder: Path) -> list[Path]:
        """Return the EEG files below `folder` by suffix, sorted, without files that only accompany a recording."""
        return [
            path
            for path in list_files(folder)
            if (path.suffix.lower() in self.suffixes and self._is_recording(path)) or path.is_dir()
        ]

    def _is_recording(self, path: Path) -> bool:
        if path.suffix.lower() in EEG_SUFFIXES:
            return not _accompanies(path)
        return self.file_name.fullmatch(path.name) is not None

    def scale(self, path: Path) -> float:
        """The factor that makes the values of `path` true (see `unit_scale`)."""
        return self.unit_scale.get(path.suffix.lower(), 1.0)


def read_label_text(path: Path) -> str:
    """A file of labels beside a recording.

    Raises:
        LabelError: If it is not there or no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig", errors="strict")
    except (OSError, UnicodeDecodeError):
        raise LabelError(
            "the file with the labels is missing or no text", file=path.name, remedy="Put the dataset's own file there"
        ) from None


def invalid_labels(path: Path) -> LabelError:
    """The error for a file of labels with something in it that the dataset's description does not have."""
    return LabelError(
        "the labels are not as the dataset's description says",
        file=path.name,
        remedy="Get the dataset's own file again",
    )


def list_files(folder: Path) -> list[Path]:
    """All files below `folder`, hidden ones excepted, sorted by relative path.

    Links are followed, each real folder once, so a loop of links ends. A folder in the role of a file (EGI `.mff`) is
    one entry; so is a folder that may not be read, so that it shows up as unreadable rather than not at all.
    """
    found: list[Path] = []
    seen: set[str] = set()

    def keep_unreadable(error: OSError) -> None:
        found.append(Path(error.filename))

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=keep_unreadable):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        bundles = [name for name in folders if name.lower().endswith(".mff")]
        folders[:] = sorted(name for name in folders if name not in bundles and not name.startswith("."))
        found += [Path(parent, name) for name in (*files, *bundles) if not name.startswith(".")]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _accompanies(path: Path) -> bool:
    """Whether a file of an EEG suffix holds no recording: MNE's other FIF files, and the data of a BrainVision header.

    A BrainVision data file without its header is a recording, one that cannot be read.
    """
    if path.suffix.lower() == ".eeg":
        return path.with_suffix(".vhdr").exists()
    return _OTHER_FIF.search(path.name) is not None
