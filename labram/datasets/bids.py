"""Any dataset in the Brain Imaging Data Structure (BIDS), without labels."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from labram.datasets.base import Dataset, Group, RecordingFile, list_files, looks_like_recording
from labram.datasets.bids_sidecars import ENTITIES, with_facts
from labram.datasets.patterns import composed
from labram.datasets.subjects import guess
from labram.errors import Reason

_COPIES = frozenset({"derivatives", "sourcedata"})
_PLACES = ("sub-*", "sub-*/ses-*")
_COPY = Reason.DUPLICATE_FORMAT, "a copy of a recording"


class Bids(Dataset):
    """`dataset_description.json` and `sub-01/[ses-01/]eeg/sub-01_…_eeg.{edf,bdf,vhdr,set}` (BIDS 1.10, EEG).

    Line frequency and reference come from the `…_eeg.json` sidecars, bad and non-EEG channels from `…_channels.tsv`, by
    the BIDS inheritance principle; what is not understood is a warning of the recording. Files in `derivatives` and
    `sourcedata` are copies of recordings and are quarantined. The meaning of `trial_type` in `…_events.tsv` differs
    between datasets: for labels, subclass this adapter with `tasks` and `labels`.
    """

    name = "bids"
    title = "A dataset in the Brain Imaging Data Structure"
    line_freq_hz = 50.0
    reference = "not stated"
    licence = "see its dataset_description.json"
    citation = "see its dataset_description.json; Pernet CR, et al. Sci Data 2019;6:103"
    obtain = "your own recordings, or https://openneuro.org"
    group = Group.GENERIC
    ids_of_folder = True
    layout = ("dataset_description.json",)

    def recognises(self, folder: Path) -> bool:
        """Return whether the folder has a dataset description and EEG of at least one subject."""
        return super().recognises(folder) and any(any(folder.glob(f"{place}/eeg/*_eeg.*")) for place in _PLACES)

    def eeg_files(self, folder: Path) -> list[Path]:
        """Return the EEG files below `folder`, and files named as EEG whose content is a recording in another form."""
        by_suffix = set(super().eeg_files(folder))
        return [
            path
            for path in list_files(folder, self.corpus)
            if path in by_suffix
            or ("_eeg." in path.name.lower() and self.owns(path) and looks_like_recording(path, self.corpus or folder))
        ]

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every EEG file, with line frequency and reference of its sidecars."""
        for file in super().recordings(folder):
            parents = file.path.relative_to(folder).parts[:-1]
            match = ENTITIES.fullmatch(file.path.stem)
            names = (*parents, match["subject"]) if match else parents
            stated = [composed(name) for name in names if name.startswith("sub-")]
            described = with_facts(file, folder, self.corpus)
            yield replace(
                described,
                subject=stated[-1] if stated else guess(file.path.relative_to(folder).as_posix()),
                subject_source="bids" if len(set(stated)) == 1 else "guessed",  # none, or folder and name differ
                session=(match["session"] if match else None) or "",
                quarantined=_COPY if _COPIES & set(map(str.lower, parents)) else described.quarantined,
            )
