"""TUH EEG Seizure Corpus: seizures marked from beginning to end."""

from pathlib import Path

from labram.datasets.base import Group, LabelSpan, RecordingFile
from labram.datasets.tuh import Tuh, read_annotations
from labram.signals.recording import Recording

_BACKGROUND = "bckg"


class Tusz(Tuh):
    """`edf/{train,dev,eval}/<patient>/<session>_<year>/<reference>/<patient>_<session>_<token>.edf`, version 2.

    Beside each a `.csv_bi` file whose rows say for all channels together (`TERM`) when there is a seizure.

    Tested on an imitation of its files.
    """

    name = "tusz"
    title = "TUH EEG Seizure Corpus"
    citation = "Shah V, et al. Front Neuroinform 2018;12:83"
    inside = ("train/*/*/*/*.csv_bi", "dev/*/*/*/*.csv_bi", "eval/*/*/*/*.csv_bi")
    parts = frozenset({"train", "dev", "eval"})
    group = Group.PRETRAINING
    tasks = {"seizure": ("background", "seizure")}

    def sidecars(self, file: RecordingFile) -> list[Path]:
        """The file of seizures."""
        return [file.path.with_suffix(".csv_bi")]

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Task `seizure`: 0 background, 1 seizure, as long as each lasts."""
        del recording
        return [
            LabelSpan("seizure", span.start, span.stop - span.start, (float(span.label != _BACKGROUND),))
            for span in read_annotations(file.path.with_suffix(".csv_bi"))
        ]
