"""BCI Competition IV, data set 1: imagined movement with 59 electrodes, cued and self-paced."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from labram.datasets.base import Dataset, Group, LabelSpan, RecordingFile
from labram.errors import LabelError, ReadError, Reason
from labram.signals.readers import matlab
from labram.signals.readers.errors import unreadable
from labram.signals.recording import Event, Recording

_MICROVOLTS = 0.1
"""Of one unit of `cnt`, says the description."""
_ARTIFICIAL = frozenset("cde")
_CLASSES = {"left": 0.0, "right": 1.0, "foot": 2.0}
SECONDS = 4.0
"""From the cue to the end of the imagination."""


class BciIv1(Dataset):
    """`BCICIV_calib_ds1a_1000Hz.mat` and `BCICIV_eval_ds1a_1000Hz.mat` of subjects a to g, in MATLAB's format 5.

    Subjects c, d and e are not people: a program made their signals, which is no EEG and is refused (the published
    preparation uses them). The files at 100 Hz are the same recordings.

    Tested on an imitation of its files.
    """

    name = "bci_iv_1"
    title = "BCI Competition IV, data set 1"
    line_freq_hz = 50.0
    reference = "not stated"
    licence = "free for research, by the competition's terms"
    citation = "Blankertz B, et al. NeuroImage 2007;37:539; Tangermann M, et al. Front Neurosci 2012;6:55"
    obtain = "https://www.bbci.de/competition/iv/ (registration by e-mail)"
    suffixes = frozenset({".mat"})
    layout = ("BCICIV_*_ds1?*.mat", "*/BCICIV_*_ds1?*.mat")
    file_name = re.compile(r"BCICIV_(?P<session>calib|eval)_ds1(?P<subject>[a-g])(?:_1000Hz)?\.mat")
    group = Group.PRETRAINING
    tasks = {"motor_imagery": ("left hand", "right hand", "foot")}
    event_codes = frozenset(_CLASSES)

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Every file; of two rates, the higher is preferred."""
        best = {path.name: path for path in self.eeg_files(folder) if path.stem.endswith("_1000Hz")}
        for file in super().recordings(folder):
            preferred = best.get(f"{file.path.stem}_1000Hz.mat")
            yield replace(file, alternate_of=preferred)

    def read(self, file: RecordingFile) -> Recording:
        """The recording; cues are events with the names of their classes.

        Raises:
            ReadError: NOT_EEG if a program made it, UNREADABLE if it is not as described.
        """
        if file.subject in _ARTIFICIAL and not self.published:
            raise ReadError(
                "its signals were made by a program",
                reason=Reason.NOT_EEG,
                file=file.path.name,
                remedy="Leave it out",
            )
        found = matlab.read_variables(file.path, "cnt", "nfo")
        try:
            info = found["nfo"]
            rate = float(info["fs"])
            return Recording(
                np.asarray(found["cnt"]).T * np.float32(_MICROVOLTS),
                tuple(info["clab"]),
                rate,
                _cues(file, info, rate),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise unreadable(file.path, type(error).__name__) from None

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Task `motor_imagery`, four seconds from each cue of the calibration. The evaluation has no cues."""
        if file.session == "eval":
            return []
        if not all(event.code in _CLASSES for event in recording.events):
            raise LabelError("names a class that is none of three", file=file.path.name, remedy="Get the file again")
        return [LabelSpan("motor_imagery", event.onset, SECONDS, (_CLASSES[event.code],)) for event in recording.events]


def _cues(file: RecordingFile, info: dict[str, Any], rate: float) -> tuple[Event, ...]:
    """Class -1 is the first of the subject's two, 1 the second."""
    if file.session == "eval":
        return ()
    marks = matlab.read_variables(file.path, "mrk")["mrk"]
    pairs = zip(np.atleast_1d(marks["pos"]), np.atleast_1d(marks["y"]), strict=True)
    return tuple(Event(float(place) / rate, SECONDS, str(info["classes"][int(side > 0)])) for place, side in pairs)
