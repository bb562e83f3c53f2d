"""CHB-MIT Scalp EEG Database: long recordings of children with epilepsy, in a bipolar montage."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from labram.datasets import seizures
from labram.datasets.base import Dataset, LabelSpan, RecordingFile, invalid_labels, read_label_text
from labram.datasets.fetch import PhysioNet
from labram.signals.recording import Recording

_SAME_PERSON = {"chb21": "chb01"}
"""Recorded 1.5 years later, from the same girl."""
_SECONDS = re.compile(r"Seizure\s*\d*\s*(?:Start|End) Time\s*:\s*(\d+) seconds")


class ChbMit(Dataset):
    """`chb01/chb01_01.edf`, with the case's `chb01-summary.txt`.

    Eight of the bipolar channels are in the model's electrode table; the others are dropped. Cases 1 and 21 are one
    subject.

    Tested on a synthetic copy of its layout.
    """

    name = "chb_mit"
    title = "CHB-MIT Scalp EEG Database"
    line_freq_hz = 60.0
    reference = "bipolar"
    licence = "ODC-By 1.0"
    citation = "Shoeb A. PhD thesis, MIT, 2009; Goldberger AL, et al. Circulation 2000;101:e215"
    obtain = "https://physionet.org/content/chbmit/"
    download = PhysioNet("chbmit", "1.0.0", subject=r"^chb(\d+)/")
    layout = ("chb[0-9][0-9]/chb*.edf",)
    file_name = re.compile(r"(?P<subject>chb\d{2})(?P<session>[a-z]?_\d+\+?)\.edf")
    tasks = {seizures.TASK: seizures.CLASSES}

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every EEG file; cases of one person are one subject."""
        for file in super().recordings(folder):
            yield replace(
                file,
                subject=_SAME_PERSON.get(file.subject, file.subject),
                session=f"{file.subject}{file.session}",
            )

    def sidecars(self, file: RecordingFile) -> list[Path]:
        """Return the summary file of the case."""
        return [file.path.with_name(f"{file.session[:5]}-summary.txt")]

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return spans of task `seizure`, seizures and background."""
        (path,) = self.sidecars(file)
        _, named, part = read_label_text(path).partition(f"File Name: {file.path.name}")
        times = [float(seconds) for seconds in _SECONDS.findall(part.partition("File Name:")[0])]
        if not named:
            raise invalid_labels(path)
        try:
            return seizures.spans(list(zip(times[::2], times[1::2], strict=True)), recording.seconds)
        except ValueError:
            raise invalid_labels(path) from None
