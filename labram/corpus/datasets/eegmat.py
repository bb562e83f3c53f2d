"""EEG during mental arithmetic: rest and serial subtraction, two recordings a subject."""

import re
from collections.abc import Iterator
from pathlib import Path

from labram.corpus.datasets.base import Dataset, Interval, Source
from labram.errors import LabelError
from labram.signals.recording import Recording

_NAME = re.compile(r"(?P<subject>Subject\d+)_(?P<part>\d+)")
_CLASS = {"1": 0.0, "2": 1.0}


class Eegmat(Dataset):
    """`SubjectNN_1.edf` is rest, `SubjectNN_2.edf` mental arithmetic; the state lasts as long as the recording.

    `subject-info.csv` describes the subjects and is not needed.
    """

    name = "eegmat"
    title = "EEG During Mental Arithmetic Tasks"
    mains_hz = 50.0
    reference = "interconnected ears"
    licence = "ODC-By 1.0"
    citation = "Zyma I, et al. Data 2019;4(1):14; Goldberger AL, et al. Circulation 2000;101:e215"
    obtain = "https://physionet.org/content/eegmat/"
    tasks = {"workload": ("rest", "arithmetic")}

    def recognises(self, folder: Path) -> bool:
        """Whether a file is named like the dataset's recordings."""
        return any(_NAME.fullmatch(path.stem) for path in folder.glob("Subject*.edf"))

    def sources(self, folder: Path) -> Iterator[Source]:
        """Every EEG file; one whose name the dataset does not have is a subject of its own."""
        for path in self.files(folder):
            match = _NAME.fullmatch(path.stem)
            subject, part = (match["subject"], match["part"]) if match else (path.stem, "")
            yield Source(self.name, path, subject, part)

    def labels(self, source: Source, recording: Recording) -> list[Interval]:
        """Task `workload`: 0 rest, 1 arithmetic, over the whole recording."""
        if source.session not in _CLASS:
            raise LabelError(
                "the name tells neither rest (_1) nor arithmetic (_2)",
                file=source.path.name,
                remedy="Name it as the dataset does, SubjectNN_1.edf or SubjectNN_2.edf",
            )
        return [Interval("workload", 0.0, recording.seconds, (_CLASS[source.session],))]
