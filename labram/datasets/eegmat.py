"""EEG during mental arithmetic: rest and serial subtraction, two recordings per subject."""

import re

from labram.datasets.base import Dataset, LabelSpan, RecordingFile
from labram.datasets.fetch import PhysioNet
from labram.errors import LabelError
from labram.signals.recording import Recording

_CLASS = {"1": 0.0, "2": 1.0}


class Eegmat(Dataset):
    """`SubjectNN_1.edf` is rest, `SubjectNN_2.edf` mental arithmetic, each for the whole recording.

    `subject-info.csv` describes the subjects and is not read.
    """

    name = "eegmat"
    title = "EEG During Mental Arithmetic Tasks"
    line_freq_hz = 50.0
    reference = "interconnected ears"
    licence = "ODC-By 1.0"
    citation = "Zyma I, et al. Data 2019;4(1):14; Goldberger AL, et al. Circulation 2000;101:e215"
    obtain = "https://physionet.org/content/eegmat/"
    download = PhysioNet("eegmat", "1.0.0", subject=r"Subject(\d+)_")
    layout = ("Subject*.edf",)
    file_name = re.compile(r"(?P<subject>Subject\d+)_(?P<session>\d+)\.edf", re.IGNORECASE)
    tasks = {"workload": ("rest", "arithmetic")}

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return one span of task `workload` over the whole recording: 0 rest, 1 arithmetic."""
        if file.session not in _CLASS:
            raise LabelError(
                "the file name must end in _1 (rest) or _2 (arithmetic)",
                file=file.path.name,
                remedy="Restore its original name, SubjectNN_1.edf or SubjectNN_2.edf",
            )
        return [LabelSpan("workload", 0.0, recording.seconds, (_CLASS[file.session],))]
