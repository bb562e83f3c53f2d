"""SSVEP exoskeleton: 8 occipital channels, trials of five seconds of rest or a flickering light."""

import re
from collections.abc import Iterator
from pathlib import Path

from labram.datasets.base import Dataset, LabelSpan, RecordingFile, SubjectSource
from labram.errors import LabelError, ReadError
from labram.signals.readers import read_events
from labram.signals.recording import Recording

_NAME = re.compile(r"(?P<session>record-\[.+\])(?:_raw)?")
_ANNOUNCED = {"33024": 0.0, "33025": 1.0, "33026": 2.0, "33027": 3.0}
"""GDF codes that announce the class of the next trial: rest, 13 Hz, 21 Hz, 17 Hz."""
_ONSET = "32779"
_EVENTS = {"1": 0.0, "2": 1.0, "3": 2.0, "4": 3.0}
"""Codes of the event file at trial onset, in the same order of classes."""
SETTLING_SECONDS, STEADY_SECONDS = 1.0, 4.0
"""Skipped after onset, until the evoked potential is steady; and the remaining part of the trial."""


class SsvepExo(Dataset):
    """`subjectNN/record-[…].gdf` or `…_raw.fif`, with `…-eve.fif`. GDF is preferred over FIF.

    The files declare the wrong unit: GDF values are 1000 times too small, FIF values 1000 times too large.
    """

    name = "ssvep_exo"
    title = "SSVEP-based exoskeleton control"
    line_freq_hz = 50.0
    reference = "right or left mastoid"
    licence = "CC0"
    citation = "Kalunga EK, et al. Neurocomputing 2016"
    obtain = "https://github.com/sylvchev/dataset-ssvep-exoskeleton"
    unit_scale = {".gdf": 1e3, ".fif": 1e-3}
    tasks = {"ssvep": ("rest", "13 Hz", "21 Hz", "17 Hz")}
    event_codes = frozenset({*_ANNOUNCED, _ONSET})

    def recognises(self, folder: Path) -> bool:
        """Return whether a subject's folder has a recording."""
        paths = (*folder.glob("subject*/record-*.gdf"), *folder.glob("subject*/record-*_raw.fif"))
        return any(_NAME.fullmatch(path.stem) for path in paths)

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every EEG file; the folder is the subject."""
        files = self.eeg_files(folder)
        present = set(files)
        for path in files:
            match = _NAME.fullmatch(path.stem)
            session = match["session"] if match else path.stem
            preferred = path.with_name(f"{session}.gdf")
            alternate = preferred if preferred in present and preferred != path else None
            subject = path.parent.name
            source: SubjectSource = "adapter" if subject.startswith("subject") else "guessed"
            yield RecordingFile(self.name, path, subject, session, alternate_of=alternate, subject_source=source)

    def sidecars(self, file: RecordingFile) -> list[Path]:
        """Return the event file."""
        return [_event_file(file)]

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return spans of task `ssvep`, four seconds of each trial: 0 rest, 1 13 Hz, 2 21 Hz, 3 17 Hz.

        Trials have a fixed duration, so stop codes are not needed.
        """
        trials = _announced(recording) or _listed(file, recording.sfreq)
        if not trials:
            raise LabelError(
                "the recording has neither trial codes nor an event file",
                file=file.path.name,
                remedy=f"Restore the dataset's {file.session}-eve.fif beside it",
            )
        return [LabelSpan("ssvep", onset + SETTLING_SECONDS, STEADY_SECONDS, (label,)) for onset, label in trials]


def _announced(recording: Recording) -> list[tuple[float, float]]:
    """Return onset in seconds and class of each trial, from the codes in the recording."""
    trials, label = [], None
    for event in recording.events:
        if event.code in _ANNOUNCED:
            label = _ANNOUNCED[event.code]
        elif event.code == _ONSET and label is not None:
            trials.append((event.onset, label))
            label = None
    return trials


def _listed(file: RecordingFile, sfreq: float) -> list[tuple[float, float]]:
    """Return onset in seconds and class of each trial, from the event file."""
    path = _event_file(file)
    if not path.is_file():
        return []
    try:
        events = read_events(path, sfreq=sfreq)
    except ReadError as error:
        raise LabelError("the event file cannot be read", file=path.name, remedy="Download it again") from error
    return [(event.onset, _EVENTS[event.code]) for event in events if event.code in _EVENTS]


def _event_file(file: RecordingFile) -> Path:
    return file.path.with_name(f"{file.session}-eve.fif")
