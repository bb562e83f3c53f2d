"""Experiments with a four-channel Muse headband (eeg-notebooks 0.1), in MuseLSL CSV files."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labram.datasets.base import Dataset, LabelSpan, RecordingFile, SubjectSource
from labram.datasets.subjects import guess
from labram.errors import LabelError, ReadError
from labram.signals.readers import matlab
from labram.signals.recording import Recording

_SUBJECT, _CUEING = re.compile(r"subject\d+"), "cueing"
_TARGETS = frozenset({"11", "12", "21", "22"})
_POSITION, _VALIDITY, _CORRECT, _TIME_MS = 2, 3, 6, 7
"""Columns of the behavioural table, which has one row for each trial."""
BEFORE_SECONDS, WINDOW_SECONDS = 1.0, 2.0
"""The reaction time is predicted from the second before the target and the second after it."""
PLAUSIBLE_SECONDS = (0.15, 2.0)
"""Faster responses are anticipations, slower ones lapses."""


class Muse(Dataset):
    """`<paradigm>/subjectN/sessionN/*.csv`; in `cueing/` with a behavioural MATLAB file beside each recording.

    A subject number is the same person in all paradigms.
    """

    name = "muse"
    title = "eeg-notebooks: N170, P300, SSVEP and Posner cueing with a Muse headband"
    line_freq_hz = 60.0
    reference = "Fpz"
    licence = "BSD-3-Clause"
    citation = "Barachant A and contributors, eeg-notebooks, 2017"
    obtain = "https://github.com/NeuroTechX/eeg-notebooks"
    tasks = {"reaction_time": ("seconds",)}
    regressions = frozenset({"reaction_time"})
    event_codes = _TARGETS
    suffixes = frozenset({".csv"})

    def recognises(self, folder: Path) -> bool:
        """Return whether the folder has CSV files of sessions of subjects of paradigms."""
        return any(True for _ in folder.glob("*/subject*/session*/*.csv"))

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every CSV file; outside the layout, the subject is guessed."""
        for path in self.eeg_files(folder):
            parts = path.relative_to(folder).parts[:-1]
            stated = next((part for part in parts if _SUBJECT.fullmatch(part)), "")
            subject = stated or guess(path.relative_to(folder).as_posix())
            source: SubjectSource = "adapter" if stated else "guessed"
            yield RecordingFile(self.name, path, subject, "/".join((*parts, path.stem)), subject_source=source)

    def sidecars(self, file: RecordingFile) -> list[Path]:
        """Return the behavioural files."""
        return _behaviour_files(file)

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return spans of task `reaction_time`, in seconds, for the cueing paradigm.

        The n-th target marker (11, 12, 21, 22) belongs to row n of the behavioural table; its code is target position
        and validity, which must agree with the row. Wrong responses and implausible times are excluded.
        """
        if _CUEING not in file.session.split("/"):
            return []
        onsets = [(event.onset, event.code) for event in recording.events if event.code in _TARGETS]
        rows = _behaviour(file)
        if len(onsets) > len(rows) or any(code != _code(row) for (_, code), row in zip(onsets, rows, strict=False)):
            raise LabelError(
                "the target markers do not agree with the behavioural table",
                file=file.path.name,
                remedy="Restore the session's original behOutput file beside the recording",
            )
        return [_label_span(onset, row) for (onset, _), row in zip(onsets, rows, strict=False)]


def _behaviour_files(file: RecordingFile) -> list[Path]:
    return sorted(file.path.parent.glob("*behOutput*.mat"))


def _behaviour(file: RecordingFile) -> NDArray[np.float64]:
    """Return the behavioural table of the session, [trials, 8]."""
    paths = _behaviour_files(file)
    if len(paths) != 1:
        raise LabelError(
            f"expected one behOutput file beside the recording, got {len(paths)}",
            file=file.path.name,
            remedy="Download the session's folder again",
        )
    try:
        table = np.atleast_2d(np.asarray(matlab.read_variables(paths[0], "output")["output"], dtype=np.float64))
    except (OSError, ReadError, TypeError, ValueError) as error:
        raise LabelError("the behOutput file cannot be read", file=paths[0].name, remedy="Download it again") from error
    if table.ndim != 2 or table.shape[1] <= _TIME_MS:
        raise LabelError("the behOutput file must have 8 columns", file=paths[0].name, remedy="Download it again")
    return table


def _code(row: NDArray[np.float64]) -> str:
    return f"{1 + int(row[_VALIDITY])}{1 + int(row[_POSITION])}"


def _label_span(onset: float, row: NDArray[np.float64]) -> LabelSpan:
    seconds = float(row[_TIME_MS]) / 1000.0
    least, most = PLAUSIBLE_SECONDS
    excluded = ""
    if row[_CORRECT] != 1:
        excluded = "wrong_response"
    elif not least <= seconds <= most:
        excluded = "implausible_reaction_time"
    return LabelSpan("reaction_time", onset - BEFORE_SECONDS, WINDOW_SECONDS, (seconds,), excluded)
