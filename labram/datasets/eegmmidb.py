"""EEG Motor Movement/Imagery: 64 channels, up to 14 runs per subject."""

import re
from collections.abc import Iterator
from itertools import pairwise

from labram.datasets.base import Dataset, Group, LabelSpan, RecordingFile
from labram.datasets.fetch import PhysioNet
from labram.signals.recording import Event, Recording

_EYES = {"R01": 0.0, "R02": 1.0}
_EXECUTED, _IMAGINED = "motor_execution", "motor_imagery"
_FISTS, _FISTS_OR_FEET = {"T1": 0.0, "T2": 1.0}, {"T1": 2.0, "T2": 3.0}
_RUNS = {
    **dict.fromkeys(("R03", "R07", "R11"), (_EXECUTED, _FISTS)),
    **dict.fromkeys(("R04", "R08", "R12"), (_IMAGINED, _FISTS)),
    **dict.fromkeys(("R05", "R09", "R13"), (_EXECUTED, _FISTS_OR_FEET)),
    **dict.fromkeys(("R06", "R10", "R14"), (_IMAGINED, _FISTS_OR_FEET)),
}
"""Task of each run, and the classes of T1 and T2 in it."""
_ROUNDING_SECONDS = 0.1
_MOVES = ("left fist", "right fist", "both fists", "both feet")


class Eegmmidb(Dataset):
    """`S001/S001R01.edf` and so on; the meaning of annotations T1 and T2 depends on the run, T0 is rest.

    Some subjects, such as S088, have another sampling rate and overlapping annotations.
    """

    name = "eegmmidb"
    title = "EEG Motor Movement/Imagery Dataset"
    line_freq_hz = 60.0
    reference = "not stated"
    licence = "ODC-By 1.0"
    citation = "Schalk G, et al. IEEE TBME 2004;51:1034; Goldberger AL, et al. Circulation 2000;101:e215"
    obtain = "https://physionet.org/content/eegmmidb/"
    download = PhysioNet("eegmmidb", "1.0.0", subject=r"^S(\d{3})/")
    layout = ("S[0-9][0-9][0-9]/S*R*.edf",)
    file_name = re.compile(r"(?P<subject>S\d{3})(?P<session>R\d{2})\.edf", re.IGNORECASE)
    tasks = {"eyes": ("open", "closed"), _EXECUTED: _MOVES, _IMAGINED: _MOVES}
    event_codes = frozenset({"T0", "T1", "T2"})
    group = Group.PRETRAINING

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return one span of task `eyes` for runs 1 and 2, else a movement, executed or imagined, for each T1 and T2.

        T0, rest between movements, has no label. A movement that overlaps the next annotation is excluded.
        """
        if file.session in _EYES:
            return [LabelSpan("eyes", 0.0, recording.seconds, (_EYES[file.session],))]
        task, classes = _RUNS.get(file.session, ("", {}))
        return [
            LabelSpan(task, event.onset, event.duration, (classes[event.code],), excluded)
            for event, excluded in _overlaps(recording.events)
            if event.code in classes
        ]


def _overlaps(events: tuple[Event, ...]) -> Iterator[tuple[Event, str]]:
    """Yield each event and the reason to exclude it, empty if there is none."""
    for event, following in pairwise((*events, None)):
        assert event is not None, "only the last event has no successor"
        late = following is not None and event.onset + event.duration > following.onset + _ROUNDING_SECONDS
        yield event, "overlapping_annotations" if late else ""
