"""Any dataset in the Brain Imaging Data Structure (BIDS), without labels."""

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from labram.datasets.base import Dataset, Group, RecordingFile
from labram.datasets.bids_sidecars import Facts, read_facts
from labram.datasets.subjects import guess
from labram.errors import Reason

_COPIES = frozenset({"derivatives", "sourcedata"})
_PLACES = ("sub-*", "sub-*/ses-*")
_ENTITIES = re.compile(r"(?P<subject>sub-[^_]+)_(?:(?P<session>.+)_)?eeg")


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

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every EEG file, with line frequency and reference of its sidecars."""
        for file in super().recordings(folder):
            parents = file.path.relative_to(folder).parts[:-1]
            match = _ENTITIES.fullmatch(file.path.stem)
            folders = [part for part in parents if part.startswith("sub-")]
            stated = match["subject"] if match else next(iter(folders), "")
            facts = read_facts(file.path, folder, self.corpus)
            yield replace(
                file,
                subject=stated or guess(file.path.relative_to(folder).as_posix()),
                subject_source="bids" if stated else "guessed",
                session=(match["session"] if match else None) or "",
                line_freq_hz=facts.line_freq_hz,
                reference=facts.reference,
                rate_hz=facts.rate_hz,
                excluded_channels=facts.excluded_channels,
                notes=facts.notes,
                quarantined=_quarantined(parents, facts),
            )


def _quarantined(parents: Collection[str], facts: Facts) -> tuple[Reason, str] | None:
    if _COPIES & set(parents):
        return Reason.DUPLICATE_FORMAT, "a copy of a recording"
    return (Reason.EPOCHED, "its sidecar states that it is cut into epochs") if facts.epoched else None
