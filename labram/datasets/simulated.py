"""The three datasets of the simulated corpus (see `labram.simulation.simulate`), with labels in real formats."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from labram.datasets.base import Dataset, Group, LabelSpan, RecordingFile
from labram.errors import LabelError, ReadError
from labram.signals.readers.limits import read_bytes
from labram.signals.recording import Recording
from labram.simulation import gait, hospital, lab
from labram.simulation.simulate import MARKER_FILE

EVENT_WINDOW_SECONDS = 5.0
"""An event of one second is in the middle of its window, as in TUEV."""
GAIT_WINDOW_SECONDS = 2.0
_VERDICTS = ("normal", "abnormal")


class _Simulated(Dataset):
    """Common part: each folder has a marker file, so real recordings are never mistaken for simulated ones."""

    reference = "simulated common reference"
    licence = "MIT"
    citation = "none: simulated"
    obtain = "`labram corpus simulate`"
    sidecar_suffix: ClassVar[str]
    group = Group.SIMULATED

    def recognises(self, folder: Path) -> bool:
        """Return whether the folder's marker file names this dataset."""
        try:
            return bool(json.loads(read_bytes(folder / MARKER_FILE)).get("dataset") == self.name)
        except (OSError, ValueError, AttributeError, RecursionError, ReadError):
            return False

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every EEG file; the subject is the file name up to the first separator."""
        for path in self.eeg_files(folder):
            subject, _, session = path.stem.replace("-T", "_T").partition("_")
            yield RecordingFile(self.name, path, subject, session)

    def sidecars(self, file: RecordingFile) -> Sequence[Path]:
        """Return the label file."""
        path = self._sidecar(file)
        return [path] if path.is_file() else []

    def _sidecar(self, file: RecordingFile) -> Path:
        return file.path.with_name(file.path.stem.removesuffix("_eeg") + self.sidecar_suffix)

    def _rows(self, file: RecordingFile, delimiter: str = ",") -> list[list[str]]:
        path = self._sidecar(file)
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                return [row for row in csv.reader(stream, delimiter=delimiter) if row]
        except (OSError, UnicodeDecodeError, csv.Error):
            raise LabelError(
                "the label file is missing or unreadable",
                file=path.name,
                remedy=f"Generate it again with {self.obtain}",
            ) from None

    def _invalid_rows(self, file: RecordingFile) -> LabelError:
        return LabelError(
            "invalid rows in the label file",
            file=self._sidecar(file).name,
            remedy=f"Generate it again with {self.obtain}",
        )


class SimHospital(_Simulated):
    """Routine sessions in the folders `normal` and `abnormal`, and event recordings with `.rec` files."""

    name = hospital.NAME
    title = "Simulated clinical archive"
    line_freq_hz = hospital.LINE_FREQ_HZ
    tasks = {"abnormal": _VERDICTS, "events": hospital.EVENTS}
    sidecar_suffix = ".rec"

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every EEG file; the session of a routine recording starts with its folder, `normal` or `abnormal`."""
        for file in super().recordings(folder):
            part, *rest = file.path.relative_to(folder).parts
            session = f"{rest[0]}_{file.session}" if part == "routine" and len(rest) > 1 else file.session
            yield replace(file, session=session)

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return one span of task `abnormal` for a routine session, else spans of task `events`."""
        verdict = file.session.partition("_")[0]
        if verdict in _VERDICTS:
            return [LabelSpan("abnormal", 0.0, recording.seconds, (float(_VERDICTS.index(verdict)),))]
        return self._events(file)

    def _events(self, file: RecordingFile) -> list[LabelSpan]:
        try:
            events = sorted({(float(start), int(kind)) for _, start, _, kind in self._rows(file)})
        except ValueError:
            raise self._invalid_rows(file) from None
        before = (EVENT_WINDOW_SECONDS - 1.0) / 2
        return [LabelSpan("events", start - before, EVENT_WINDOW_SECONDS, (float(kind - 1),)) for start, kind in events]


class SimLab(_Simulated):
    """One recording per participant, with trials in `_events.tsv`."""

    name = lab.NAME
    title = "Simulated emotion laboratory"
    line_freq_hz = lab.LINE_FREQ_HZ
    tasks = {"emotion": lab.EMOTIONS}
    sidecar_suffix = "_events.tsv"

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return spans of task `emotion`, one for each trial."""
        del recording
        try:
            return [
                LabelSpan("emotion", float(onset), float(duration), (float(lab.EMOTIONS.index(emotion)),))
                for onset, duration, emotion in self._rows(file, delimiter="\t")[1:]
            ]
        except ValueError:
            raise self._invalid_rows(file) from None


class SimGait(_Simulated):
    """Walking trials with files of joint angles."""

    name = gait.NAME
    title = "Simulated gait laboratory"
    line_freq_hz = gait.LINE_FREQ_HZ
    tasks = {"gait": gait.JOINTS}
    regressions = frozenset({"gait"})
    sidecar_suffix = "-joints.csv"

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return spans of task `gait`: mean of six joint angles in degrees over consecutive windows of two seconds."""
        try:
            rows = np.array(self._rows(file)[1:], float)
            seconds, angles = rows[:, 0], rows[:, 1:]
        except (ValueError, IndexError):
            raise self._invalid_rows(file) from None
        spans = []
        for start in np.arange(0.0, recording.seconds - GAIT_WINDOW_SECONDS + 1e-9, GAIT_WINDOW_SECONDS):
            inside = (seconds >= start) & (seconds < start + GAIT_WINDOW_SECONDS)
            if not inside.any():
                raise self._invalid_rows(file)
            label = tuple(round(float(angle), 4) for angle in angles[inside].mean(axis=0))
            spans.append(LabelSpan("gait", float(start), GAIT_WINDOW_SECONDS, label))
        return spans
