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

    Tested on a synthetic copy of its layout.
    """

    name = "tuep"
    title = "TUH EEG Epilepsy Corpus"
    citation = "Veloso L, et al. IEEE SPMB 2017; Obeid I, Picone J. Front Neurosci 2016;10:196"
    inside = ("00_epilepsy/*/*/*/*.edf", "01_no_epilepsy/*/*/*/*.edf")
    group = Group.PRETRAINING
    tasks = {"epilepsy": ("no epilepsy", "epilepsy")}

    def recognises(self, folder: Path) -> bool:
        """Return whether the groups are in `folder` or a version folder; this corpus has no folder `edf`."""
        return super().recognises(folder) or any(any(folder.glob(f"v*/{glob}")) for glob in self.inside)

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every EEG file; the session starts with the group, `00_epilepsy` or `01_no_epilepsy`."""
        for file in super().recordings(folder):
            group = next((part for part in file.path.relative_to(folder).parts if part in _GROUPS), "")
            yield replace(file, session=f"{group} {file.session}")

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return one span of task `epilepsy` over the whole recording: 0 patient without, 1 with epilepsy."""
        group = file.session.partition(" ")[0]
        if group not in _GROUPS:
            raise LabelError("in neither group of patients", file=file.path.name, remedy="Restore the corpus's folders")
        return [LabelSpan("epilepsy", 0.0, recording.seconds, (_GROUPS[group],))]
