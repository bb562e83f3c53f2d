"""TUH EEG Epilepsy Corpus: recordings of patients with and without epilepsy."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from labram.datasets.base import Group, LabelSpan, RecordingFile
from labram.datasets.tuh import Tuh
from labram.errors import LabelError
from labram.signals.recording import Recording

_GROUPS = {"01_no_epilepsy": 0.0, "00_epilepsy": 1.0}


class Tuep(Tuh):
    """`{00_epilepsy,01_no_epilepsy}/<patient>/<session>_<year>/<reference>/<patient>_<session>_<token>.edf`.

    Tested on an imitation of its files.
    """

    name = "tuep"
    title = "TUH EEG Epilepsy Corpus"
    citation = "Veloso L, et al. IEEE SPMB 2017; Obeid I, Picone J. Front Neurosci 2016;10:196"
    inside = ("00_epilepsy/*/*/*/*.edf", "01_no_epilepsy/*/*/*/*.edf")
    group = Group.PRETRAINING
    tasks = {"epilepsy": ("no epilepsy", "epilepsy")}

    def recognises(self, folder: Path) -> bool:
        """Whether the groups stand here or in a folder of a version; this corpus has no folder `edf`."""
        return super().recognises(folder) or any(any(folder.glob(f"v*/{glob}")) for glob in self.inside)

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Every EEG file; the session begins with the group, the name of a folder above it."""
        for file in super().recordings(folder):
            group = next((part for part in file.path.relative_to(folder).parts if part in _GROUPS), "")
            yield replace(file, session=f"{group} {file.session}")

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Task `epilepsy`, of the patient: 0 without, 1 with, over the whole recording."""
        group = file.session.partition(" ")[0]
        if group not in _GROUPS:
            raise LabelError(
                "stands in neither group of patients", file=file.path.name, remedy="Keep the corpus's folders"
            )
        return [LabelSpan("epilepsy", 0.0, recording.seconds, (_GROUPS[group],))]
