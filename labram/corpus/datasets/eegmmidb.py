"""EEG Motor Movement/Imagery: 64 channels, up to 14 runs a subject."""

import re
from collections.abc import Iterator
from pathlib import Path

from labram.corpus.datasets.base import Dataset, Source

_NAME = re.compile(r"(?P<subject>S\d{3})(?P<run>R\d{2})")


class Eegmmidb(Dataset):
    """`S001/S001R01.edf` and so on. For pre-training; some subjects, such as S088, have a rate of their own."""

    name = "eegmmidb"
    title = "EEG Motor Movement/Imagery Dataset"
    mains_hz = 60.0
    reference = "not stated"
    licence = "ODC-By 1.0"
    citation = "Schalk G, et al. IEEE TBME 2004;51:1034; Goldberger AL, et al. Circulation 2000;101:e215"
    obtain = "https://physionet.org/content/eegmmidb/"

    def recognises(self, folder: Path) -> bool:
        """Whether a file is named like the dataset's recordings, in a folder named like its subject."""
        return any(_NAME.fullmatch(path.stem) for path in folder.glob("S[0-9][0-9][0-9]/S*R*.edf"))

    def sources(self, folder: Path) -> Iterator[Source]:
        """Every EEG file; one whose name the dataset does not have is a subject of its own."""
        for path in self.files(folder):
            match = _NAME.fullmatch(path.stem)
            subject, run = (match["subject"], match["run"]) if match else (path.stem, "")
            yield Source(self.name, path, subject, run)
