"""Any folder of recordings, of which nothing is known but what the files say."""

from collections.abc import Iterator
from pathlib import Path

from labram.corpus.datasets.base import EEG_SUFFIXES, Dataset, Source

_MUSE_HEADER = b"timestamps,"


class Folder(Dataset):
    """Each EEG file is a recording; its subject is its folder, or its own name when it stands in the root.

    There are no labels, and units are believed. Mains is taken as 50 Hz, which the catalogue states.
    """

    name = "folder"
    title = "A plain folder of recordings"
    mains_hz = 50.0
    reference = "not stated"
    licence = "not stated"
    citation = "not stated"
    obtain = "your own recordings"
    suffixes = EEG_SUFFIXES | {".csv"}

    def recognises(self, folder: Path) -> bool:
        """Whether there is any EEG file."""
        return bool(self.files(folder))

    def files(self, folder: Path) -> list[Path]:
        """EEG files below `folder`; of the CSV files, those that MuseLSL wrote."""
        return [path for path in super().files(folder) if path.suffix.lower() != ".csv" or _is_muse(path)]

    def sources(self, folder: Path) -> Iterator[Source]:
        """Every EEG file."""
        for path in self.files(folder):
            parent = path.relative_to(folder).parent.as_posix()
            yield Source(self.name, path, path.stem if parent == "." else parent, path.name)


def _is_muse(path: Path) -> bool:
    """Whether a CSV file begins as MuseLSL's do; one that may not be read might, and will be refused by name."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MUSE_HEADER)) == _MUSE_HEADER
    except OSError:
        return True
