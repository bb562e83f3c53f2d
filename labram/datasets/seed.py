"""Emotion datasets of Shanghai Jiao Tong University: films, 62 electrodes, one Neuroscan CNT file per session."""

import re
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from labram.datasets.base import Dataset, Group, LabelSpan, RecordingFile, invalid_labels, read_label_text
from labram.signals.recording import Recording

TASK = "emotion"
_SECONDS = re.compile(r"session\s*(\d)\D*start_second\D*\[([\d,\s]+)\]\D*end_second\D*\[([\d,\s]+)\]", re.IGNORECASE)


class _Films(Dataset):
    """Common part of both datasets: a recording is a session of films with known start and end times.

    Attributes:
        order: For each session, the class of each film.
    """

    line_freq_hz = 50.0
    reference = "not stated"
    licence = "the laboratory's licence agreement, for research"
    obtain = "apply at https://bcmi.sjtu.edu.cn/home/seed/ with the signed agreement"
    suffixes = frozenset({".cnt"})
    order: ClassVar[dict[str, tuple[float, ...]]]

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return spans of task `emotion`, one for each film."""
        del recording
        return [
            LabelSpan(TASK, start, stop - start, (label,))
            for (start, stop), label in zip(self._films(file), self.order.get(file.session, ()), strict=True)
        ]

    @abstractmethod
    def _films(self, file: RecordingFile) -> list[tuple[float, float]]:
        """Return start and end of each film in seconds."""


class Seed(_Films):
    """`SEED_EEG/SEED_RAW_EEG/1_1.cnt`: subject and session. All sessions show the same films at the same times.

    Tested on a synthetic copy of its layout.
    """

    name = "seed"
    title = "SEED"
    citation = "Zheng WL, Lu BL. IEEE TAMD 2015;7:162"
    layout = ("*_*.cnt", "SEED_RAW_EEG/*_*.cnt", "SEED_EEG/SEED_RAW_EEG/*_*.cnt")
    file_name = re.compile(r"(?P<subject>\d{1,2})_(?P<session>[123])\.cnt")
    group = Group.PRETRAINING
    tasks = {TASK: ("negative", "neutral", "positive")}
    order = dict.fromkeys("123", (2.0, 1.0, 0.0, 0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 2.0, 1.0, 0.0, 1.0, 2.0, 0.0))
    starts = (27, 290, 551, 784, 1050, 1262, 1484, 1748, 1993, 2287, 2551, 2812, 3072, 3335, 3599)
    stops = (262, 523, 757, 1022, 1235, 1457, 1721, 1964, 2258, 2524, 2786, 3045, 3307, 3573, 3805)
    """Seconds, from the dataset's `time.txt`."""

    def _films(self, file: RecordingFile) -> list[tuple[float, float]]:
        del file
        return list(zip(self.starts, self.stops, strict=True))


_DISGUST, _FEAR, _SAD, _NEUTRAL, _HAPPY = map(float, range(5))
_FIRST = (_HAPPY, _FEAR, _NEUTRAL, _SAD, _DISGUST) * 3
_SECOND = (
    *(_SAD, _FEAR, _NEUTRAL, _DISGUST, _HAPPY),
    *(_HAPPY, _DISGUST, _NEUTRAL, _SAD, _FEAR),
    *(_NEUTRAL, _HAPPY, _FEAR, _SAD, _DISGUST),
)


class SeedV(_Films):
    """`EEG_raw/1_1_20180804.cnt`: subject, session (by its films, not by date), date; `trial_start_end_timestamp.txt`.

    The paper splits the films of each session 5:5:5, so every subject is in every split. Here splits are by subject, so
    results are not comparable.

    Tested on a synthetic copy of its layout.
    """

    name = "seed_v"
    title = "SEED-V"
    group = Group.FINETUNING
    citation = "Liu W, et al. IEEE TCDS 2022;14:715"
    layout = ("EEG_raw/*_*_*.cnt", "*_*_*.cnt")
    file_name = re.compile(r"(?P<subject>\d{1,2})_(?P<session>[123])_\d{8}\.cnt")
    tasks = {TASK: ("disgust", "fear", "sad", "neutral", "happy")}
    order = {"1": _FIRST, "2": _SECOND, "3": _SECOND}
    """From the dataset's `emotion_label_and_stimuli_order.xlsx`."""

    def sidecars(self, file: RecordingFile) -> list[Path]:
        """Return the file with the times of the films."""
        name = "trial_start_end_timestamp.txt"
        beside, above = file.path.with_name(name), file.path.parent.with_name(name)
        return [beside if beside.is_file() else above]

    def _films(self, file: RecordingFile) -> list[tuple[float, float]]:
        (path,) = self.sidecars(file)
        for session, starts, stops in _SECONDS.findall(read_label_text(path)):
            times = [tuple(map(float, text.split(","))) for text in (starts, stops)]
            if session == file.session and all(len(seconds) == len(_FIRST) for seconds in times):
                return list(zip(*times, strict=True))
        raise invalid_labels(path)
