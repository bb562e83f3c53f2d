"""Any folder of recordings, without metadata beyond the files."""

from collections.abc import Iterator
from pathlib import Path

from labram.datasets.base import Dataset, Group, RecordingFile, list_files, looks_like_recording
from labram.datasets.bids_sidecars import has_sidecars, with_facts
from labram.datasets.subjects import guess


class Folder(Dataset):
    """Each EEG file is a recording; its subject is guessed from folder and file names (see `labram.datasets.subjects`).

    There are no labels. Units are taken as the files state them; a line frequency of 50 Hz is assumed and stated in the
    catalogue, unless sidecars of BIDS beside a recording state another.

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
            if path in by_suffix or looks_like_recording(path, self.corpus or folder)
        ]

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every EEG file."""
        for path in self.eeg_files(folder):
            place = path.relative_to(folder).as_posix()
            file = RecordingFile(self.name, path, guess(place), place, subject_source="guessed")
            yield with_facts(file, folder, self.corpus) if has_sidecars(path, folder) else file
