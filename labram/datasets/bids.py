"""Any dataset in the Brain Imaging Data Structure (BIDS), without labels."""

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

    Line frequency and reference come from the `…_eeg.json` sidecars, by the BIDS inheritance principle. Files in
    `derivatives` and `sourcedata` are copies of recordings and are quarantined. The meaning of `trial_type` in
    `…_events.tsv` differs between datasets: for labels, subclass this adapter with `tasks` and `labels`.
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
        """Return whether the folder has a dataset description and EEG of at least one subject."""
        return super().recognises(folder) and any(folder.glob("sub-*/**/eeg/*_eeg.*"))

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every EEG file, with line frequency and reference of its sidecars."""
        for file in super().recordings(folder):
            parents = file.path.relative_to(folder).parts[:-1]
            match = _ENTITIES.fullmatch(file.path.stem)
            subject = next((part for part in parents if part.startswith("sub-")), file.subject)
            sidecar = _sidecar_fields(file.path, folder)
            line_freq, reference = sidecar.get("PowerLineFrequency"), sidecar.get("EEGReference")
            yield replace(
                file,
                subject=match["subject"] if match else subject,
                session=(match["session"] if match else None) or "",
                line_freq_hz=float(line_freq) if line_freq in (50, 60) else None,
                reference=str(reference) if reference else "",
                quarantined=(Reason.DUPLICATE_FORMAT, "a copy of a recording") if _COPIES & set(parents) else None,
            )


def _sidecar_fields(path: Path, folder: Path) -> dict[str, Any]:
    """Return the fields of all `_eeg.json` files that apply to a recording; the nearest file overrides the others."""
    entities = set(path.stem.split("_"))
    fields: dict[str, Any] = {}
    for directory in reversed([parent for parent in path.parents if parent == folder or folder in parent.parents]):
        for file in sorted(directory.glob("*_eeg.json"), key=lambda file: len(file.stem)):
            if set(file.stem.split("_")) <= entities:
                fields |= _read_json(file)
    return fields


def _read_json(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}
    return fields if isinstance(fields, dict) else {}
