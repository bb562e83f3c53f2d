"""TUH EEG Artifact Corpus: artefacts annotated channel by channel."""

from pathlib import Path

from labram.datasets.base import Group, LabelSpan, RecordingFile
from labram.datasets.tuh import Tuh, merge_channels, read_annotations
from labram.signals.recording import Recording

_CLASSES = {"eyem": 0.0, "chew": 1.0, "shiv": 2.0, "musc": 3.0, "elec": 4.0, "elpp": 4.0, "elst": 4.0}
"""Electrode pop (`elpp`) and static (`elst`) are `elec` since version 3."""


class Tuar(Tuh):
    """`edf/<reference>/<patient>_<session>_<token>.edf`, all in one folder, with a `.csv` file each.

    Rows with the same times are one event. If channels disagree, or a row names two artefacts (`eyem_musc`), the event
    is excluded.

    Tested on a synthetic copy of its layout.
    """

    name = "tuar"
    title = "TUH EEG Artifact Corpus"
    citation = "Hamid A, et al. IEEE SPMB 2020; Obeid I, Picone J. Front Neurosci 2016;10:196"
    inside = ("0[1-4]_tcp_*/*_s*_t*.csv",)
    group = Group.PRETRAINING
    tasks = {"artefact": ("eye movement", "chewing", "shivering", "muscle", "electrode")}

    def sidecars(self, file: RecordingFile) -> list[Path]:
        """Return the annotation file."""
        return [file.path.with_suffix(".csv")]

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return spans of task `artefact`, one for each artefact."""
        del recording
        return [
            LabelSpan("artefact", span.start, span.stop - span.start, (_CLASSES.get(span.label, -1.0),), excluded)
            for span, agree in merge_channels(read_annotations(file.path.with_suffix(".csv")))
            for excluded in ["" if agree and span.label in _CLASSES else "several_or_other_artefacts"]
        ]
