"""TUH Abnormal EEG Corpus: routine recordings, normal or abnormal according to the physician's report."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from labram.datasets.base import Group, LabelSpan, RecordingFile
from labram.datasets.tuh import Tuh
from labram.errors import LabelError
from labram.signals.recording import Recording

_VERDICTS = ("normal", "abnormal")


class Tuab(Tuh):
    """`edf/{train,eval}/{normal,abnormal}/01_tcp_ar/<patient>_<session>_<token>.edf`, version 2 and later.

    `eval` is the test split. The published preprocessing splits the patients of each class separately and without a
    seed, so a patient with recordings of both classes may be in two splits; here a patient is always in one.

    Tested on a synthetic copy of its layout.
    """

    name = "tuab"
    title = "TUH Abnormal EEG Corpus"
    citation = "López de Diego S. MSc thesis, Temple University, 2017; Obeid I, Picone J. Front Neurosci 2016;10:196"
    inside = ("train/*normal/*/*.edf", "eval/*normal/*/*.edf")
    group = Group.FINETUNING
    tasks = {"abnormal": _VERDICTS}

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every EEG file; the session starts with its folder, `normal` or `abnormal`."""
        for file in super().recordings(folder):
            verdict = next((part for part in file.path.relative_to(folder).parts if part in _VERDICTS), "")
            yield replace(file, session=f"{verdict} {file.session}")

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return one span of task `abnormal` over the whole recording: 0 normal, 1 abnormal."""
        verdict = file.session.partition(" ")[0]
        if verdict not in _VERDICTS:
            raise LabelError(
                "not in a folder `normal` or `abnormal`", file=file.path.name, remedy="Restore the corpus's folders"
            )
        return [LabelSpan("abnormal", 0.0, recording.seconds, (float(_VERDICTS.index(verdict)),))]
