"""Grasp-and-Lift EEG Detection: reaching for an object, lifting and replacing it."""

import re
from pathlib import Path

import numpy as np

from labram.datasets.base import Dataset, Group, LabelSpan, RecordingFile, invalid_labels
from labram.errors import ReadError
from labram.signals.readers import table
from labram.signals.recording import Recording

_SFREQ = 500.0
_EVENTS = ("HandStart", "FirstDigitTouch", "BothStartLoadPhase", "LiftOff", "Replace", "BothReleased")
WINDOW_SECONDS = 1.0
"""The event is in the middle; the files mark 150 ms before and after it."""


class GraspLift(Dataset):
    """`train/subj1_series1_data.csv` with `subj1_series1_events.csv`; series 9 and 10, in `test/`, have no events.

    The competition's test series have the same subjects, so they are not used as a test split.

    Tested on a synthetic copy of its layout.
    """

    name = "grasp_lift"
    title = "Grasp-and-Lift EEG Detection"
    line_freq_hz = 50.0
    reference = "not stated"
    licence = "CC BY 4.0 (WAY-EEG-GAL); the competition's terms for these files"
    citation = "Luciw MD, et al. Sci Data 2014;1:140047"
    obtain = "https://www.kaggle.com/c/grasp-and-lift-eeg-detection (an account, and consent to its rules)"
    suffixes = frozenset({".csv"})
    layout = ("subj*_series*_data.csv", "*/subj*_series*_data.csv")
    file_name = re.compile(r"(?P<subject>subj\d+)_(?P<session>series\d+)_data\.csv")
    group = Group.PRETRAINING
    tasks = {"grasp": _EVENTS}

    def sidecars(self, file: RecordingFile) -> list[Path]:
        """Return the table of events."""
        return [file.path.with_name(file.path.name.replace("_data", "_events"))]

    def read(self, file: RecordingFile) -> Recording:
        """Read a table with a column for each electrode and a row every 2 ms, in µV."""
        names, samples = table.read_columns(file.path, lambda name: name != "id")
        return Recording(samples, names, _SFREQ)

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return spans of task `grasp`: one second centred on each event."""
        (path,) = self.sidecars(file)
        if not path.is_file() and "test" in file.path.parts:
            return []
        try:
            names, marks = table.read_columns(path, lambda name: name != "id")
        except (OSError, ReadError):
            raise invalid_labels(path) from None
        if set(names) != set(_EVENTS) or marks.shape[1] != recording.samples:
            raise invalid_labels(path)
        return sorted(
            (
                LabelSpan("grasp", middle / _SFREQ - WINDOW_SECONDS / 2, WINDOW_SECONDS, (float(_EVENTS.index(name)),))
                for name, marked in zip(names, marks, strict=True)
                for middle in _middles(marked)
            ),
            key=lambda span: span.onset,
        )


def _middles(marked: np.ndarray) -> np.ndarray:
    """Return the middle sample of each run of ones, [events]."""
    edges = np.diff(np.concatenate([[0.0], marked, [0.0]]))
    return (np.flatnonzero(edges > 0) + np.flatnonzero(edges < 0)) / 2
