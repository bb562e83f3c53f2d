"""Two datasets of L. T. Trujillo, Texas State University: 64 BioSemi electrodes, BDF files. For pre-training."""

import re
from pathlib import Path

from labram.datasets.base import Group
from labram.datasets.biosemi import BioSemiDataset
from labram.datasets.fetch import Dataverse


class _Trujillo(BioSemiDataset):
    """Common part of both datasets; their file names are unspecific, so the folder must have the adapter's name."""

    line_freq_hz = 60.0
    licence = "as the Texas Data Repository states"
    group = Group.PRETRAINING

    def recognises(self, folder: Path) -> bool:
        """Return whether the folder has the adapter's name and contains recordings with the dataset's file names."""
        named = (self.file_name.fullmatch(path.name) for path in folder.rglob("*.bdf"))
        return folder.name == self.name and any(named)


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
