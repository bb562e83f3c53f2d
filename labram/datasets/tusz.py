"""TUH EEG Seizure Corpus: seizures annotated from start to end."""

from pathlib import Path

from labram.datasets.base import Group, LabelSpan, RecordingFile
from labram.datasets.tuh import Tuh, read_annotations
from labram.signals.recording import Recording

_BACKGROUND = "bckg"


class Tusz(Tuh):
    """`edf/{train,dev,eval}/<patient>/<session>_<year>/<reference>/<patient>_<session>_<token>.edf`, version 2.

    Each has a `.csv_bi` file whose rows annotate seizures and background for all channels (`TERM`).

    Tested on a synthetic copy of its layout.
    """

    name = "tusz"
    title = "TUH EEG Seizure Corpus"
    citation = "Shah V, et al. Front Neuroinform 2018;12:83"
    inside = ("train/*/*/*/*.csv_bi", "dev/*/*/*/*.csv_bi", "eval/*/*/*/*.csv_bi")
    parts = frozenset({"train", "dev", "eval"})
    group = Group.PRETRAINING
    tasks = {"seizure": ("background", "seizure")}

    def sidecars(self, file: RecordingFile) -> list[Path]:
        """Return the annotation file."""
        return [file.path.with_suffix(".csv_bi")]

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return spans of task `seizure`: 0 background, 1 seizure."""
        del recording
        return [
            LabelSpan("seizure", span.start, span.stop - span.start, (float(span.label != _BACKGROUND),))
            for span in read_annotations(file.path.with_suffix(".csv_bi"))
        ]
