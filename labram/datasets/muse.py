"""Experiments with a four-channel Muse headband (eeg-notebooks 0.1), as MuseLSL CSV files."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.io
from numpy.typing import NDArray

from labram.datasets.base import Dataset, LabelSpan, RecordingFile
from labram.errors import LabelError
from labram.signals.recording import Recording

_SUBJECT, _CUEING = re.compile(r"subject\d+"), "cueing"
_TARGETS = frozenset({"11", "12", "21", "22"})
_POSITION, _VALIDITY, _CORRECT, _TIME_MS = 2, 3, 6, 7
"""Columns of the table of behaviour: a row a trial."""
BEFORE_SECONDS, WINDOW_SECONDS = 1.0, 2.0
"""The reaction time is predicted from the second before the target and the second after it."""
PLAUSIBLE_SECONDS = (0.15, 2.0)
"""Faster is anticipation, slower is a lapse."""


class Muse(Dataset):
    """`<paradigm>/subjectN/sessionN/*.csv`; in `cueing/` with a MATLAB file of behaviour beside each recording.

    A subject's number means the same person in all paradigms.
    """

    name = "muse"
    title = "eeg-notebooks: N170, P300, SSVEP and Posner cueing with a Muse headband"
    line_freq_hz = 60.0
    reference = "Fpz"
    licence = "BSD-3-Clause"
    citation = "Barachant A and contributors, eeg-notebooks, 2017"
    obtain = "https://github.com/NeuroTechX/eeg-notebooks"
    tasks = {"reaction_time": ("seconds",)}
    event_codes = _TARGETS
    suffixes = frozenset({".csv"})

    def recognises(self, folder: Path) -> bool:
        """Whether there are paradigms with subjects with sessions with CSV files."""
        return any(True for _ in folder.glob("*/subject*/session*/*.csv"))

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Every CSV file; one outside the layout belongs to a subject named by its folder."""
        for path in self.eeg_files(folder):
            parts = path.relative_to(folder).parts[:-1]
            subject = next((part for part in parts if _SUBJECT.fullmatch(part)), "/".join(parts) or path.stem)
            yield RecordingFile(self.name, path, subject, "/".join((*parts, path.stem)))

    def sidecars(self, file: RecordingFile) -> list[Path]:
        """The files of behaviour."""
        return _behaviour_files(file)

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Task `reaction_time` in seconds, of the cueing paradigm.

        The n-th target marker (11, 12, 21, 22) is row n of the behaviour; its code says target position and validity,
        which must agree with the row. Wrong answers and implausible times are given as excluded.
        """
        if _CUEING not in file.session.split("/"):
            return []
        onsets = [(event.onset, event.code) for event in recording.events if event.code in _TARGETS]
        rows = _behaviour(file)
        if len(onsets) > len(rows) or any(code != _code(row) for (_, code), row in zip(onsets, rows, strict=False)):
            raise LabelError(
                "the target markers do not agree with the table of behaviour",
                file=file.path.name,
                remedy="Put the session's own behOutput file beside the recording",
            )
        return [_interval(onset, row) for (onset, _), row in zip(onsets, rows, strict=False)]


def _behaviour_files(file: RecordingFile) -> list[Path]:
    return sorted(file.path.parent.glob("*behOutput*.mat"))


def _behaviour(file: RecordingFile) -> NDArray[np.float64]:
    """Table of behaviour of the session [trials, 8]; it stands beside the recording."""
    beside = _behaviour_files(file)
    if len(beside) != 1:
        raise LabelError(
            f"there must be one behOutput file beside the recording, not {len(beside)}",
            file=file.path.name,
            remedy="Get the session's folder again, with its one behOutput file",
        )
    try:
        table = np.asarray(scipy.io.loadmat(beside[0], variable_names=["output"])["output"], dtype=np.float64)
    except Exception as error:  # scipy raises whatever its parser meets
        raise LabelError("the behOutput file cannot be read", file=beside[0].name, remedy="Get it again") from error
    if table.ndim != 2 or table.shape[1] <= _TIME_MS:
        raise LabelError("the behOutput file has not 8 columns", file=beside[0].name, remedy="Get it again")
    return table


def _code(row: NDArray[np.float64]) -> str:
    return f"{1 + int(row[_VALIDITY])}{1 + int(row[_POSITION])}"


def _interval(onset: float, row: NDArray[np.float64]) -> LabelSpan:
    seconds = float(row[_TIME_MS]) / 1000.0
    least, most = PLAUSIBLE_SECONDS
    excluded = ""
    if row[_CORRECT] != 1:
        excluded = "wrong_response"
    elif not least <= seconds <= most:
        excluded = "implausible_reaction_time"
    return LabelSpan("reaction_time", onset - BEFORE_SECONDS, WINDOW_SECONDS, (seconds,), excluded)
