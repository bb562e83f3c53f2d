"""Common part of the corpora of Temple University Hospital: names, layout, references, and how to obtain them.

A patient has the same eight letters in all of them, so a patient in two corpora is one subject.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import ClassVar, Literal

from labram.datasets.base import Dataset, RecordingFile, invalid_labels, read_label_text

_REFERENCES = {
    "01_tcp_ar": "average",
    "02_tcp_le": "linked ears",
    "03_tcp_ar_a": "average, recorded without A1 and A2",
    "04_tcp_le_a": "linked ears, recorded without A1 and A2",
}
_SPLITS: dict[str, Literal["train", "validation", "test"]] = {"train": "train", "dev": "validation", "eval": "test"}


class Tuh(Dataset):
    """`<version>/edf/…/<patient>_<session>_<token>.edf`; the dataset's folder may be `edf`, or one or two above it.

    Attributes:
        inside: Globs of the layout, below `edf`.
        parts: Folders of the corpus that are kept as splits; subjects of other folders are split by `labram`.
    """

    line_freq_hz = 60.0
    reference = "average or linked ears, as the channel names say (REF, LE)"
    licence = "TUH EEG data sharing agreement"
    obtain = "apply at https://isip.piconepress.com/projects/nedc/html/tuh_eeg/ with the signed form, then use rsync"
    population = "tuh"
    file_name = re.compile(r"(?P<subject>[a-z]{8}|\d{8})_(?P<session>s\d{3}_t\d{3})\.edf")
    inside: ClassVar[tuple[str, ...]]
    parts: ClassVar[frozenset[str]] = frozenset({"eval"})

    def recognises(self, folder: Path) -> bool:
        """Return whether the layout is in `folder`, in `edf`, or in `edf` in a version folder."""
        return any(any(folder.glob(above + glob)) for glob in self.inside for above in ("", "edf/", "v*/edf/"))

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every EEG file, with the split and the reference that its folders state."""
        for file in super().recordings(folder):
            parents = file.path.relative_to(folder).parts[:-1]
            part = next((parent for parent in parents if parent in self.parts), "")
            reference = next((_REFERENCES[parent] for parent in parents if parent in _REFERENCES), "")
            yield replace(file, split=_SPLITS.get(part), reference=reference)


@dataclass(frozen=True)
class Annotation:
    """One row of an annotation file, for one channel or for all.

    Attributes:
        start: Seconds from the start of the recording.
        stop: Seconds from the start of the recording.
        label: Label as in the corpus.

    Raises:
        ValueError: If it ends before it starts, or a time is negative or not finite.
    """

    start: float
    stop: float
    label: str

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop < inf:
            raise ValueError(f"invalid annotation from {self.start} to {self.stop} s")


def read_annotations(path: Path) -> list[Annotation]:
    """Read a `.csv` or `.csv_bi` file: comments, then ``channel,start_time,stop_time,label,confidence``.

    Raises:
        LabelError: If the file is missing or malformed.
    """
    lines = (line for line in read_label_text(path).splitlines() if line.strip() and not line.startswith("#"))
    try:
        return [
            Annotation(float(row["start_time"]), float(row["stop_time"]), row["label"]) for row in csv.DictReader(lines)
        ]
    except (KeyError, ValueError, TypeError, csv.Error):
        raise invalid_labels(path) from None


def merge_channels(annotations: Iterable[Annotation]) -> list[tuple[Annotation, bool]]:
    """Merge annotations with the same times.

    Returns:
        Annotations in order of time, and whether all channels agree on the label (else the alphabetically first one).
    """
    labels: dict[tuple[float, float], set[str]] = defaultdict(set)
    for annotation in annotations:
        labels[round(annotation.start, 3), round(annotation.stop, 3)].add(annotation.label)
    return [(Annotation(*times, min(names)), len(names) == 1) for times, names in sorted(labels.items())]
