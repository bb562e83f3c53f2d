"""Any folder of recordings, without metadata beyond the files."""

from collections.abc import Iterator
from pathlib import Path

from labram.datasets.base import Dataset, Group, RecordingFile, list_files
from labram.datasets.containment import lies_inside
from labram.datasets.subjects import guess
from labram.errors import ReadError
from labram.signals.readers import SHARED_SUFFIXES, is_recording


class Folder(Dataset):
    """Each EEG file is a recording; its subject is guessed from folder and file names (see `labram.datasets.subjects`).

    There are no labels. Units are taken as the files state them; a line frequency of 50 Hz is assumed and stated in the
    catalogue.

    Args:
        others: Datasets, each with its folder, whose files are left out.
    """

    name = "folder"
    title = "A plain folder of recordings"
    line_freq_hz = 50.0
    reference = "not stated"
    licence = "not stated"
    citation = "not stated"
    obtain = "your own recordings"
    group = Group.GENERIC

    def __init__(self, *others: tuple[Dataset, Path]) -> None:
        self._others = {folder: dataset for dataset, folder in others}

    def recognises(self, folder: Path) -> bool:
        """Return whether the folder has any EEG file."""
        return bool(self.eeg_files(folder))

    def eeg_files(self, folder: Path) -> list[Path]:
        """Return the EEG files below `folder`; files with ambiguous suffixes only if an EEG format recognises them."""
        by_suffix = set(super().eeg_files(folder))
        return [
            path
            for path in list_files(folder, self.corpus)
            if not any(path.is_relative_to(other) and dataset.owns(path) for other, dataset in self._others.items())
            if path in by_suffix or _is_recognised(path, self.corpus or folder)
        ]

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every EEG file."""
        for path in self.eeg_files(folder):
            place = path.relative_to(folder).as_posix()
            yield RecordingFile(self.name, path, guess(place), place, subject_source="guessed")


def _is_recognised(path: Path, corpus: Path) -> bool:
    """Whether an EEG format recognises the file, not a pipe or device.

    An unreadable one, and a link out of the corpus, is quarantined by name.
    """
    if path.suffix.lower() not in SHARED_SUFFIXES:
        return False
    try:
        return path.is_file() and (not lies_inside(path, corpus) or is_recording(path))
    except (OSError, ReadError):
        return True
