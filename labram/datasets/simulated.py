"""The three datasets of the simulated corpus (see `labram.simulation.simulate`), labelled in the ways of real ones."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from labram.datasets.base import Dataset, Interval, Source
from labram.errors import LabelError
from labram.signals.recording import Recording
from labram.simulation import gait, hospital, lab
from labram.simulation.simulate import MARK

EVENT_WINDOW_SECONDS = 5.0
"""An event of one second stands in the middle of its window, as the corpus of EEG events (TUEV) has it."""
GAIT_WINDOW_SECONDS = 2.0
_VERDICTS = ("normal", "abnormal")


class _Simulated(Dataset):
    """What the three have in common: each folder says what it is, so real recordings are never taken for simulated."""

    reference = "simulated common reference"
    licence = "MIT"
    citation = "none: simulated"
    obtain = "`labram corpus simulate`"
    sidecar: ClassVar[str]
    simulated = True

    def recognises(self, folder: Path) -> bool:
        """Whether the folder's mark names this dataset."""
        try:
            return bool(json.loads((folder / MARK).read_text()).get("dataset") == self.name)
        except (OSError, ValueError, AttributeError):
            return False

    def sources(self, folder: Path) -> Iterator[Source]:
        """Every EEG file; the subject is the name up to the first separator."""
        for path in self.files(folder):
            subject, _, session = path.stem.replace("-T", "_T").partition("_")
            yield Source(self.name, path, subject, session)

    def companions(self, source: Source) -> Sequence[Path]:
        """The file with the labels."""
        path = self._sidecar(source)
        return [path] if path.is_file() else []

    def _sidecar(self, source: Source) -> Path:
        return source.path.with_name(source.path.stem.removesuffix("_eeg") + self.sidecar)

    def _rows(self, source: Source, delimiter: str = ",") -> list[list[str]]:
        path = self._sidecar(source)
        try:
            with path.open(newline="", encoding="utf-8") as file:
                return [row for row in csv.reader(file, delimiter=delimiter) if row]
        except (OSError, UnicodeDecodeError, csv.Error):
            raise LabelError(
                "the labels' file is missing or unreadable", file=path.name, remedy=f"Write it again with {self.obtain}"
            ) from None

    def _contradiction(self, source: Source) -> LabelError:
        return LabelError(
            "has rows of an unknown kind",
            file=self._sidecar(source).name,
            remedy=f"Write it again with {self.obtain}",
        )


class SimHospital(_Simulated):
    """Routine sessions sorted into `normal` and `abnormal`, and event recordings with `.rec` files."""

    name = hospital.NAME
    title = "Simulated clinical archive"
    mains_hz = hospital.MAINS_HZ
    tasks = {"abnormal": _VERDICTS, "events": hospital.EVENTS}
    sidecar = ".rec"

    def sources(self, folder: Path) -> Iterator[Source]:
        """Every EEG file; the session of a routine recording begins with its verdict, the name of its folder."""
        for source in super().sources(folder):
            part, *rest = source.path.relative_to(folder).parts
            session = f"{rest[0]}_{source.session}" if part == "routine" and len(rest) > 1 else source.session
            yield replace(source, session=session)

    def labels(self, source: Source, recording: Recording) -> list[Interval]:
        """Task `abnormal` over a whole routine session; task `events` from the `.rec` file."""
        verdict = source.session.partition("_")[0]
        if verdict in _VERDICTS:
            return [Interval("abnormal", 0.0, recording.seconds, (float(_VERDICTS.index(verdict)),))]
        return self._events(source)

    def _events(self, source: Source) -> list[Interval]:
        try:
            events = sorted({(float(start), int(kind)) for _, start, _, kind in self._rows(source)})
        except ValueError:
            raise self._contradiction(source) from None
        before = (EVENT_WINDOW_SECONDS - 1.0) / 2
        return [Interval("events", start - before, EVENT_WINDOW_SECONDS, (float(kind - 1),)) for start, kind in events]


class SimLab(_Simulated):
    """One recording a participant; trials in `_events.tsv`."""

    name = lab.NAME
    title = "Simulated emotion laboratory"
    mains_hz = lab.MAINS_HZ
    tasks = {"emotion": lab.EMOTIONS}
    sidecar = "_events.tsv"

    def labels(self, source: Source, recording: Recording) -> list[Interval]:
        """Task `emotion`: one interval a trial."""
        del recording
        try:
            return [
                Interval("emotion", float(onset), float(duration), (float(lab.EMOTIONS.index(emotion)),))
                for onset, duration, emotion in self._rows(source, delimiter="\t")[1:]
            ]
        except ValueError:
            raise self._contradiction(source) from None


class SimGait(_Simulated):
    """Walking trials with joint angles beside them."""

    name = gait.NAME
    title = "Simulated gait laboratory"
    mains_hz = gait.MAINS_HZ
    tasks = {"gait": gait.JOINTS}
    sidecar = "-joints.csv"

    def labels(self, source: Source, recording: Recording) -> list[Interval]:
        """Task `gait`: six joint angles in degrees, averaged over consecutive windows of two seconds."""
        try:
            rows = np.array(self._rows(source)[1:], float)
            seconds, angles = rows[:, 0], rows[:, 1:]
        except (ValueError, IndexError):
            raise self._contradiction(source) from None
        intervals = []
        for start in np.arange(0.0, recording.seconds - GAIT_WINDOW_SECONDS + 1e-9, GAIT_WINDOW_SECONDS):
            inside = (seconds >= start) & (seconds < start + GAIT_WINDOW_SECONDS)
            if not inside.any():
                raise self._contradiction(source)
            label = tuple(round(float(angle), 4) for angle in angles[inside].mean(axis=0))
            intervals.append(Interval("gait", float(start), GAIT_WINDOW_SECONDS, label))
        return intervals
