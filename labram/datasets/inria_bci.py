"""Inria BCI Challenge: a P300 speller's feedback, right or wrong."""

import csv
import re
from pathlib import Path

import numpy as np

from labram.datasets.base import Dataset, Group, LabelSpan, RecordingFile, invalid_labels, read_label_text
from labram.signals.readers import table
from labram.signals.readers.time_stamps import longest_gap
from labram.signals.recording import Event, Recording

_SFREQ = 200.0
_TIME, _FEEDBACK = "Time", "FeedBackEvent"
SECONDS = 1.0
"""Epoch length after the feedback; it contains the error-related potential."""


class InriaBci(Dataset):
    """`train/Data_S02_Sess01.csv` and `test/…`: time, 56 electrodes, EOG, feedback; `TrainLabels.csv` beside `train`.

    Published at 200 Hz, recorded at 600 Hz. No unit is stated; µV is assumed. The test subjects have no labels.

    Tested on a synthetic copy of its layout.
    """

    name = "inria_bci"
    title = "Inria BCI Challenge (NER 2015)"
    line_freq_hz = 50.0
    reference = "not stated"
    licence = "the competition's terms"
    citation = "Margaux P, et al. Adv Hum Comput Interact 2012:578295"
    obtain = "https://www.kaggle.com/c/inria-bci-challenge (an account, and consent to its rules)"
    suffixes = frozenset({".csv"})
    layout = ("Data_S*_Sess*.csv", "*/Data_S*_Sess*.csv")
    file_name = re.compile(r"Data_(?P<subject>S\d+)_(?P<session>Sess\d+)\.csv")
    group = Group.PRETRAINING
    tasks = {"feedback_error": ("wrong", "right")}
    event_codes = frozenset({"feedback"})

    def sidecars(self, file: RecordingFile) -> list[Path]:
        """Return the table of all labels."""
        candidates = (file.path.parent / "TrainLabels.csv", file.path.parent.parent / "TrainLabels.csv")
        return [path for path in candidates if path.is_file()]

    def read(self, file: RecordingFile) -> Recording:
        """Read a table with a column for each electrode; each feedback becomes an event, `Time` tells pauses."""
        columns = dict(zip(*table.read_columns(file.path, lambda _: True), strict=True))
        seconds = columns.pop(_TIME, ())
        onsets = np.flatnonzero(np.asarray(columns.get(_FEEDBACK, ())) > 0)
        events = tuple(Event(int(onset) / _SFREQ, 0.0, "feedback") for onset in onsets)
        return Recording(np.stack(list(columns.values())), tuple(columns), _SFREQ, events, longest_gap(seconds, _SFREQ))

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return spans of task `feedback_error`: 0 the speller chose a wrong letter, 1 the right one."""
        if "test" in file.path.parts:
            return []
        path = next(iter(self.sidecars(file)), file.path.parent.parent / "TrainLabels.csv")
        prefix = f"{file.subject}_{file.session}_FB"
        try:
            rows = {
                row["IdFeedBack"]: float(row["Prediction"])
                for row in csv.DictReader(read_label_text(path).splitlines())
            }
        except (KeyError, ValueError, TypeError, csv.Error):
            raise invalid_labels(path) from None
        classes = [label for name, label in sorted(rows.items()) if name.startswith(prefix)]
        if len(classes) != len(recording.events) or not set(classes) <= {0.0, 1.0}:
            raise invalid_labels(path)
        return [
            LabelSpan("feedback_error", event.onset, SECONDS, (label,))
            for event, label in zip(recording.events, classes, strict=True)
        ]
