"""TUH EEG Events Corpus: events of one second in six classes, marked channel by channel."""

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from labram.datasets.base import Group, LabelSpan, RecordingFile, invalid_labels, read_label_text
from labram.datasets.tuh import Annotation, Tuh, merge_channels
from labram.signals.recording import Recording

_CLASSES = ("SPSW", "GPED", "PLED", "EYEM", "ARTF", "BCKG")
_BY_NUMBER = {str(number): name for number, name in enumerate(_CLASSES, start=1)}
WINDOW_SECONDS = 5.0
"""The event stands in the middle, as in the paper: two seconds before it, one of its own, two after it."""


class Tuev(Tuh):
    """`edf/train/<patient>/<patient>_<number>.edf`, `edf/eval/<number>/<class>_<number>_a_<n>.edf`, with `.rec` files.

    Rows of a `.rec` file are channel, start, stop, class 1 to 6. Events that several channels show at one time are one
    sample; if the channels disagree on the class it is left out and counted, and so is an event whose window would
    begin before the recording or end after it. The published preparation has a sample for each row, repeats the
    recording so that windows at its edges run over to its other end, and stops at events that are not 1 s long.

    Tested on an imitation of its files.
    """

    name = "tuev"
    title = "TUH EEG Events Corpus"
    citation = "Harati A, et al. IEEE SPMB 2015; Obeid I, Picone J. Front Neurosci 2016;10:196"
    inside = ("train/*/*.rec", "eval/*/*.rec")
    group = Group.FINETUNING
    file_name = re.compile(r"(?P<subject>[a-z]{8}|[a-z]{4}_\d{3})_(?P<session>.+)\.edf")
    tasks = {"events": _CLASSES}

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Every EEG file. Patients of `eval` are known by the number of their folder alone."""
        for file in super().recordings(folder):
            number = file.path.parent.name
            if file.split == "test" and number.isdigit():
                file = replace(file, subject=f"eval {number}", session=file.path.stem)
            yield file

    def sidecars(self, file: RecordingFile) -> list[Path]:
        """The file of events."""
        return [file.path.with_suffix(".rec")]

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Task `events`: one interval of 5 s an event."""
        rows = _rows(file.path.with_suffix(".rec"))
        if self.published:
            return [_interval(span, _wrapped(_start(span), recording.seconds)) for span in rows]
        return [
            _interval(span, _start(span), _excluded(span, agree, recording)) for span, agree in merge_channels(rows)
        ]


def _rows(path: Path) -> list[Annotation]:
    try:
        return [
            Annotation(float(start), float(stop), _BY_NUMBER[kind.strip()])
            for _, start, stop, kind in csv.reader(filter(str.strip, read_label_text(path).splitlines()))
        ]
    except (ValueError, KeyError, csv.Error):
        raise invalid_labels(path) from None


def _start(span: Annotation) -> float:
    return (span.start + span.stop - WINDOW_SECONDS) / 2


def _excluded(span: Annotation, agree: bool, recording: Recording) -> str:  # noqa: FBT001 - a pair of `merge_channels`
    if not agree:
        return "conflicting_labels"
    start = _start(span)
    return "" if start >= 0 and start + WINDOW_SECONDS <= recording.seconds else "at_the_edge"


def _wrapped(start: float, seconds: float) -> float:
    """Where a window begins that runs over the end to the beginning, counted from the beginning: negative."""
    return start - int(seconds) if start + WINDOW_SECONDS > int(seconds) else start


def _interval(span: Annotation, start: float, excluded: str = "") -> LabelSpan:
    return LabelSpan("events", start, WINDOW_SECONDS, (float(_CLASSES.index(span.label)),), excluded)
