"""TUH EEG Artifact Corpus: artefacts marked channel by channel."""

from pathlib import Path

from labram.datasets.base import Interval, Source
from labram.datasets.tuh import Tuh, annotations, merged
from labram.signals.recording import Recording

_CLASSES = {"eyem": 0.0, "chew": 1.0, "shiv": 2.0, "musc": 3.0, "elec": 4.0, "elpp": 4.0, "elst": 4.0}
"""Electrode pops and static are `elec` since version 3."""


class Tuar(Tuh):
    """`edf/<reference>/<patient>_<session>_<token>.edf`, all in one folder, with a `.csv` file beside each.

    Rows of one time are one event. Where the channels disagree, or one row names two artefacts (`eyem_musc`), the event
    is left out and counted.

    Tested on an imitation of its files.
    """

    name = "tuar"
    title = "TUH EEG Artifact Corpus"
    citation = "Hamid A, et al. IEEE SPMB 2020; Obeid I, Picone J. Front Neurosci 2016;10:196"
    inside = ("0[1-4]_tcp_*/*_s*_t*.csv",)
    seen = True
    tasks = {"artefact": ("eye movement", "chewing", "shivering", "muscle", "electrode")}

    def companions(self, source: Source) -> list[Path]:
        """The file of artefacts."""
        return [source.path.with_suffix(".csv")]

    def labels(self, source: Source, recording: Recording) -> list[Interval]:
        """Task `artefact`, as long as each lasts."""
        del recording
        return [
            Interval("artefact", span.start, span.stop - span.start, (_CLASSES.get(span.label, -1.0),), excluded)
            for span, agree in merged(annotations(source.path.with_suffix(".csv")))
            for excluded in ["" if agree and span.label in _CLASSES else "several_or_other_artefacts"]
        ]
