"""Two datasets of L. T. Trujillo, Texas State University: 64 BioSemi electrodes, BDF files. For pre-training."""

import re
from dataclasses import replace
from pathlib import Path

from labram.datasets.base import Dataset, Group, RecordingFile
from labram.datasets.biosemi import rename_inputs
from labram.datasets.fetch import Dataverse
from labram.signals.recording import Recording


class _Trujillo(Dataset):
    """Common part of both datasets; their file names are unspecific, so the folder must have the adapter's name."""

    line_freq_hz = 60.0
    reference = "none (BioSemi CMS and DRL)"
    licence = "as the Texas Data Repository states"
    suffixes = frozenset({".bdf"})
    group = Group.PRETRAINING

    def recognises(self, folder: Path) -> bool:
        """Return whether the folder has the adapter's name and contains recordings with the dataset's file names."""
        named = (self.file_name.fullmatch(path.name) for path in folder.rglob("*.bdf"))
        return folder.name == self.name and any(named)

    def read(self, file: RecordingFile) -> Recording:
        """Read a recording and replace amplifier inputs by electrode names."""
        recording = super().read(file)
        return replace(recording, channels=rename_inputs(recording.channels))


class Trujillo2017(_Trujillo):
    """`…_S01.bdf`: alternating minutes with eyes open and closed, eight minutes in all.

    Tested on a synthetic copy of its layout.
    """

    name = "trujillo_2017"
    title = "Resting State EEG Data (Trujillo, Stanfield, Vela 2017)"
    citation = "Trujillo LT, et al. Front Neurosci 2017;11:425"
    obtain = "https://doi.org/10.18738/T8/ANS9Q1"
    download = Dataverse("doi:10.18738/T8/ANS9Q1", subject=r"_S(\d+)\.bdf$", wanted=r"\.bdf$")
    file_name = re.compile(r".*_(?P<subject>S\d+)\.bdf", re.IGNORECASE)


class Trujillo2020(_Trujillo):
    """`…_II_S01.bdf` and `…_RBII_S01.bdf`: two categorisation tasks.

    Tested on a synthetic copy of its layout.
    """

    name = "trujillo_2020"
    title = "Raw EEG Data (Trujillo 2020)"
    citation = "Trujillo LT. Front Neurosci 2019;13:1292"
    obtain = "https://doi.org/10.18738/T8/SS2NHB"
    download = Dataverse("doi:10.18738/T8/SS2NHB", subject=r"_S(\d+)\.bdf$", wanted=r"\.bdf$")
    file_name = re.compile(r".*_(?P<session>II|RBII)_(?P<subject>S\d+)\.bdf", re.IGNORECASE)
