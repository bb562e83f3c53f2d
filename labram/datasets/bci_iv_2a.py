"""BCI Competition IV, data set 2a: four kinds of imagined movement, 22 channels."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from labram.datasets.base import Dataset, LabelSpan, RecordingFile, invalid_labels
from labram.errors import LabelError, ReadError
from labram.signals.readers import matlab
from labram.signals.recording import Recording

_NAMES = "Fz FC3 FC1 FCz FC2 FC4 C5 C3 C1 Cz C2 C4 C6 CP3 CP1 CPz CP2 CP4 P1 Pz P2 POz"
_ELECTRODES = tuple(_NAMES.split())
_CUES = {"769": 0.0, "770": 1.0, "771": 2.0, "772": 3.0}
_UNKNOWN, _TRIAL, _REJECTED = "783", "768", "1023"
SECONDS = 4.0
"""From the cue to the end of motor imagery."""


class BciIv2a(Dataset):
    """`A01T.gdf` (training) and `A01E.gdf` (evaluation); classes of the latter are in `true_labels/A01E.mat`.

    Most channels have no name in the files; they are in the order of the dataset's description. The competition's test
    session has the same subjects as its training session, so it is not used as a test split.

    Tested on a synthetic copy of its layout.
    """

    name = "bci_iv_2a"
    title = "BCI Competition IV, data set 2a"
    line_freq_hz = 50.0
    reference = "left mastoid"
    licence = "CC BY-ND 4.0"
    citation = "Tangermann M, et al. Front Neurosci 2012;6:55; Brunner C, et al. BCI Competition 2008, Graz data set A"
    obtain = "https://www.bbci.de/competition/iv/ (registration by e-mail); true labels from its results page"
    suffixes = frozenset({".gdf"})
    layout = ("A0[1-9]?.gdf", "*/A0[1-9]?.gdf")
    file_name = re.compile(r"(?P<subject>A0\d)(?P<session>[TE])\.gdf")
    tasks = {"motor_imagery": ("left hand", "right hand", "feet", "tongue")}
    event_codes = frozenset({*_CUES, _UNKNOWN, _TRIAL, _REJECTED})

    def read(self, file: RecordingFile) -> Recording:
        """Read a recording and add the names of its electrodes."""
        recording = super().read(file)
        named = dict(enumerate(_ELECTRODES)) if len(recording.channels) >= len(_ELECTRODES) else {}
        return replace(
            recording, channels=tuple(named.get(index, label) for index, label in enumerate(recording.channels))
        )

    def sidecars(self, file: RecordingFile) -> list[Path]:
        """Return the file with the true classes of an evaluation session."""
        return sorted(file.path.parent.glob(f"*/{file.path.stem}.mat")) if file.session == "E" else []

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return spans of task `motor_imagery`: four seconds from each cue; rejected trials are excluded."""
        cues = list(_cues(recording))
        classes = self._true_labels(file, len(cues)) if any(code == _UNKNOWN for _, code, _ in cues) else []
        return [
            LabelSpan(
                "motor_imagery",
                onset,
                SECONDS,
                (classes[trial] if classes else _CUES[code],),
                "rejected_trial" if rejected else "",
            )
            for trial, (onset, code, rejected) in enumerate(cues)
        ]

    def _true_labels(self, file: RecordingFile, trials: int) -> list[float]:
        paths = self.sidecars(file)
        if not paths:
            raise LabelError(
                "the true classes of the evaluation session are missing",
                file=file.path.name,
                remedy=f"Download {file.path.stem}.mat from the competition's results page into true_labels/",
            )
        try:
            classes = [float(label) - 1 for label in matlab.read_variables(paths[0], "classlabel")["classlabel"]]
        except (ReadError, TypeError, ValueError):
            raise invalid_labels(paths[0]) from None
        if len(classes) != trials or not set(classes) <= set(_CUES.values()):
            raise invalid_labels(paths[0])
        return classes


def _cues(recording: Recording) -> Iterator[tuple[float, str, bool]]:
    """Yield onset and code of each cue, and whether its trial was rejected."""
    rejected = {event.onset for event in recording.events if event.code == _REJECTED}
    begun = 0.0
    for event in recording.events:
        if event.code == _TRIAL:
            begun = event.onset
        elif event.code in _CUES or event.code == _UNKNOWN:
            yield event.onset, event.code, begun in rejected
