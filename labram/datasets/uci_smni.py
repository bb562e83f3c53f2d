"""UCI EEG Database: one-second trials of 64 electrodes in gzip-compressed text."""

import re
from collections.abc import Iterator
from pathlib import Path

from labram.datasets.base import Dataset, LabelSpan, RecordingFile, SubjectSource
from labram.signals.recording import Recording

_NAME = re.compile(r"(?P<subject>co\d(?P<group>[ac])\d+)\.rd\.(?P<trial>\d+)\.gz")


class UciSmni(Dataset):
    """`co2a0000364/co2a0000364.rd.000.gz` and so on: each trial is a one-second recording. Group: `a` or `c`."""

    name = "uci_smni"
    title = "EEG Database (Begleiter), UCI Machine Learning Repository"
    line_freq_hz = 60.0
    reference = "Cz"
    licence = "CC BY 4.0"
    citation = "Begleiter H. EEG Database. UCI Machine Learning Repository, 1995"
    obtain = "https://archive.ics.uci.edu/dataset/121/eeg+database"
    suffixes = frozenset({".gz"})
    tasks = {"alcoholism": ("control", "alcoholic")}

    def recognises(self, folder: Path) -> bool:
        """Return whether a subject's folder has a trial."""
        return any(_NAME.fullmatch(path.name) for path in folder.glob("co*/co*.rd.*.gz"))

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every gzip file; the subject of one with another name is guessed to be its folder."""
        for path in self.eeg_files(folder):
            match = _NAME.fullmatch(path.name)
            subject, trial = (match["subject"], match["trial"]) if match else (path.parent.name, path.stem)
            source: SubjectSource = "adapter" if match else "guessed"
            yield RecordingFile(self.name, path, subject, trial, subject_source=source)

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return the group of the subject: 0 control, 1 alcoholic; nothing for a file with another name."""
        match = _NAME.fullmatch(file.path.name)
        if not match:
            return []
        return [LabelSpan("alcoholism", 0.0, recording.seconds, (float(match["group"] == "a"),))]
