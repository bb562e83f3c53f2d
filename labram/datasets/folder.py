"""Any folder of recordings, of which nothing is known but what the files say."""

from collections.abc import Iterator
from pathlib import Path

from labram.datasets.base import Dataset, Group, RecordingFile, list_files
from labram.signals.readers import SHARED_SUFFIXES, is_recording


class Folder(Dataset):
    """Each EEG file is a recording; its subject is its folder, or its own name when it stands in the root.

    There are no labels, and units are believed. Mains is taken as 50 Hz, which the catalogue states.

    Args:
        without: Folders that are left out, because they are of other datasets.
    """

    name = "folder"
    title = "A plain folder of recordings"
    line_freq_hz = 50.0
    reference = "not stated"
    licence = "not stated"
    citation = "not stated"
    obtain = "your own recordings"
    group = Group.GENERIC

    def __init__(self, *without: Path) -> None:
        self._without = without

    def recognises(self, folder: Path) -> bool:
        """Whether there is any EEG file."""
        return bool(self.eeg_files(folder))

    def eeg_files(self, folder: Path) -> list[Path]:
        """EEG files below `folder`; of suffixes that others use too, those that an EEG format recognises."""
        known = set(super().eeg_files(folder))
        own = (path for path in list_files(folder) if not any(path.is_relative_to(place) for place in self._without))
        return [path for path in own if path in known or _is_recognised(path)]

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Every EEG file."""
        for path in self.eeg_files(folder):
            parent = path.relative_to(folder).parent.as_posix()
            yield RecordingFile(self.name, path, path.stem if parent == "." else parent, path.name)


def _is_recognised(path: Path) -> bool:
    """One that may not be read might be a recording; it will be refused by name. A pipe would keep us waiting."""
    if path.suffix.lower() not in SHARED_SUFFIXES or path.is_fifo():
        return False
    try:
        return is_recording(path)
    except OSError:
        return True
