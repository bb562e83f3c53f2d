"""TUH EEG Events Corpus: events of one second in six classes, annotated channel by channel."""

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
"""Two seconds before the event, the event of one second, two seconds after it, as in the paper."""


class Tuev(Tuh):
    """`edf/train/<patient>/<patient>_<number>.edf`, `edf/eval/<number>/<class>_<number>_a_<n>.edf`, with `.rec` files.

    Rows of a `.rec` file are channel, start, stop, class 1 to 6. Events at the same time on several channels are one
    sample. It is excluded if the channels disagree on the class, or if its window would exceed the recording. The
    published preprocessing makes a sample of each row, wraps windows at the edges around to the other end of the
    recording, and fails on events that are not 1 s long.

    Tested on a synthetic copy of its layout.
    """

    name = "tuev"
    title = "TUH EEG Events Corpus"
    citation = "Harati A, et al. IEEE SPMB 2015; Obeid I, Picone J. Front Neurosci 2016;10:196"
    inside = ("train/*/*.rec", "eval/*/*.rec")
    group = Group.FINETUNING
    file_name = re.compile(r"(?P<subject>[a-z]{8}|[a-z]{4}_\d{3})_(?P<session>.+)\.edf")
    tasks = {"events": _CLASSES}

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every EEG file; `eval` patients are identified only by the number of their folder."""
        for file in super().recordings(folder):
            number = file.path.parent.name
            if file.split == "test" and number.isdigit():
                file = replace(file, subject=f"eval {number}", session=file.path.stem, subject_source="adapter")
            yield file

    def sidecars(self, file: RecordingFile) -> list[Path]:
        """Return the event file."""
        return [file.path.with_suffix(".rec")]

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return spans of task `events`: 5 s around each event."""
        rows = _rows(file.path.with_suffix(".rec"))
        if self.published:
            return [_label_span(span, _wrapped(_start(span), recording.seconds)) for span in rows]
        return [
            _label_span(span, _start(span), _excluded(span, agree, recording)) for span, agree in merge_channels(rows)
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
    """Return the onset of a window, negative if it wraps around the end of the recording."""
    return start - int(seconds) if start + WINDOW_SECONDS > int(seconds) else start


def _label_span(span: Annotation, start: float, excluded: str = "") -> LabelSpan:
    return LabelSpan("events", start, WINDOW_SECONDS, (float(_CLASSES.index(span.label)),), excluded)
