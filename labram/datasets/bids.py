"""Any dataset in the Brain Imaging Data Structure: what its files say of themselves, and no labels."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from labram.datasets.base import Dataset, Group, RecordingFile
from labram.errors import Reason

_COPIES = frozenset({"derivatives", "sourcedata"})
_ENTITIES = re.compile(r"(?P<subject>sub-[^_]+)_(?:(?P<session>.+)_)?eeg")


class Bids(Dataset):
    """`dataset_description.json` and `sub-01/[ses-01/]eeg/sub-01_…_eeg.{edf,bdf,vhdr,set}` (BIDS 1.10, EEG).

    Mains frequency and reference are those of the nearest `…_eeg.json`, the recording's own or one above it that fits
    its name. Files in `derivatives` and `sourcedata` are copies of recordings and are refused. What `trial_type` in
    `…_events.tsv` means is the dataset's own affair: an adapter with labels is a subclass with `tasks` and `labels`.
    """

    name = "bids"
    title = "A dataset in the Brain Imaging Data Structure"
    line_freq_hz = 50.0
    reference = "not stated"
    licence = "see its dataset_description.json"
    citation = "see its dataset_description.json; Pernet CR, et al. Sci Data 2019;6:103"
    obtain = "your own recordings, or https://openneuro.org"
    group = Group.GENERIC
    layout = ("dataset_description.json",)

    def recognises(self, folder: Path) -> bool:
        """Whether there is a description and EEG of a subject."""
        return super().recognises(folder) and any(folder.glob("sub-*/**/eeg/*_eeg.*"))

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Every EEG file, with what its sidecar states."""
        for file in super().recordings(folder):
            parents = file.path.relative_to(folder).parts[:-1]
            match = _ENTITIES.fullmatch(file.path.stem)
            subject = next((part for part in parents if part.startswith("sub-")), file.subject)
            about = _sidecar(file.path, folder)
            mains, reference = about.get("PowerLineFrequency"), about.get("EEGReference")
            yield replace(
                file,
                subject=match["subject"] if match else subject,
                session=(match["session"] if match else None) or "",
                line_freq_hz=float(mains) if mains in (50, 60) else None,
                reference=str(reference) if reference else "",
                quarantined=(Reason.DUPLICATE_FORMAT, "a copy of a recording") if _COPIES & set(parents) else None,
            )


def _sidecar(path: Path, folder: Path) -> dict[str, Any]:
    """Fields of all `_eeg.json` files that hold for a recording; the nearest has the last word."""
    entities = set(path.stem.split("_"))
    fields: dict[str, Any] = {}
    for place in reversed([parent for parent in path.parents if parent == folder or folder in parent.parents]):
        for file in sorted(place.glob("*_eeg.json"), key=lambda file: len(file.stem)):
            if set(file.stem.split("_")) <= entities:
                fields |= _fields(file)
    return fields


def _fields(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
