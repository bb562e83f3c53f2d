"""TUH Abnormal EEG Corpus: routine recordings, normal or abnormal by the physician's report."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from labram.datasets.base import Interval, Source
from labram.datasets.tuh import Tuh
from labram.errors import LabelError
from labram.signals.recording import Recording

_VERDICTS = ("normal", "abnormal")


class Tuab(Tuh):
    """`edf/{train,eval}/{normal,abnormal}/01_tcp_ar/<patient>_<session>_<token>.edf`, version 2 and later.

    `eval` is the test part. The published preparation shares out the patients of each class on their own and without
    a seed, so that one with recordings of both classes may be on both sides; here a patient is on one, always.

    Tested on an imitation of its files.
    """

    name = "tuab"
    title = "TUH Abnormal EEG Corpus"
    citation = "López de Diego S. MSc thesis, Temple University, 2017; Obeid I, Picone J. Front Neurosci 2016;10:196"
    inside = ("train/*normal/*/*.edf", "eval/*normal/*/*.edf")
    tasks = {"abnormal": _VERDICTS}

    def sources(self, folder: Path) -> Iterator[Source]:
        """Every EEG file; the session begins with the verdict, the name of its folder."""
        for source in super().sources(folder):
            verdict = next((part for part in source.path.relative_to(folder).parts if part in _VERDICTS), "")
            yield replace(source, session=f"{verdict} {source.session}")

    def labels(self, source: Source, recording: Recording) -> list[Interval]:
        """Task `abnormal`: 0 normal, 1 abnormal, over the whole recording; the paper cuts it into windows of 10 s."""
        verdict = source.session.partition(" ")[0]
        if verdict not in _VERDICTS:
            raise LabelError(
                "stands in no folder `normal` or `abnormal`", file=source.path.name, remedy="Keep the corpus's folders"
            )
        return [Interval("abnormal", 0.0, recording.seconds, (float(_VERDICTS.index(verdict)),))]
