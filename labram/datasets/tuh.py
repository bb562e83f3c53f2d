"""What the corpora of Temple University Hospital have in common: names, layout, references, and how to get them.

A patient has the same eight letters in all of them, so whoever is in two corpora is one subject here.
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
        parts: Folders of the corpus that are kept as parts; subjects of others are shared out among those left.
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
        """Whether the layout is found here, in `edf`, or in a folder of a version with `edf` in it."""
        return any(any(folder.glob(above + glob)) for glob in self.inside for above in ("", "edf/", "v*/edf/"))

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Every EEG file, with the corpus's own part and the reference that its folders name."""
        for file in super().recordings(folder):
            parents = file.path.relative_to(folder).parts[:-1]
            part = next((parent for parent in parents if parent in self.parts), "")
            reference = next((_REFERENCES[parent] for parent in parents if parent in _REFERENCES), "")
            yield replace(file, split=_SPLITS.get(part), reference=reference)


@dataclass(frozen=True)
class Annotation:
    """What an annotator saw, on one channel or on all.

    Attributes:
        start: Seconds from the beginning.
        stop: Seconds from the beginning.
        label: The corpus's own word or number.

    Raises:
        ValueError: If it ends before it begins, or at no time.
    """

    start: float
    stop: float
    label: str

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop < inf:
            raise ValueError(f"from {self.start} to {self.stop}")


def read_annotations(path: Path) -> list[Annotation]:
    """Rows of a `.csv` or `.csv_bi` file: comments, then ``channel,start_time,stop_time,label,confidence``.

    Raises:
        LabelError: If the file is not there or not so.
    """
    lines = (line for line in read_label_text(path).splitlines() if line.strip() and not line.startswith("#"))
    try:
        return [
            Annotation(float(row["start_time"]), float(row["stop_time"]), row["label"]) for row in csv.DictReader(lines)
        ]
    except (KeyError, ValueError, TypeError, csv.Error):
        raise invalid_labels(path) from None


def merge_channels(spans: Iterable[Annotation]) -> list[tuple[Annotation, bool]]:
    """Each time once, and whether the channels agree on its label; of several labels, the first by name is given."""
    labels: dict[tuple[float, float], set[str]] = defaultdict(set)
    for span in spans:
        labels[round(span.start, 3), round(span.stop, 3)].add(span.label)
    return [(Annotation(*time, min(found)), len(found) == 1) for time, found in sorted(labels.items())]
