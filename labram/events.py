"""What a running step tells the world: it started, how far it is, how it ended.

Steps run in processes of their own (a KFP task each), so they speak through an append-only file of JSON lines named
by ``LABRAM_EVENTS``; `labram run` follows it and draws the progress. Where the variable is not set, they speak to the
log, which is what a pod shows (see `labram.logs`).
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from labram import logs
from labram.errors import LabramError
from labram.jsonl import append_rows

log = logging.getLogger("labram")
EVENTS_VARIABLE = "LABRAM_EVENTS"
SECONDS_BETWEEN_REPORTS = 0.25
SECONDS_BETWEEN_LINES = 10.0
"""In a log, which nobody watches and somebody pays for."""


class Monitor(Protocol):
    """Who listens to a training loop or any other long work."""

    def progress(self, done: int, total: int, **figures: float) -> None:
        """`done` of `total` units of work are finished; `figures` are shown beside it."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Metrics of one optimiser step or evaluation, to be kept."""

    def note(self, text: str) -> None:
        """One thing worth knowing, such as what was reused."""


class Silent:
    """A monitor that listens to nothing: for tests and for use as a library."""

    def progress(self, done: int, total: int, **figures: float) -> None:
        """Ignore the report."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Ignore the metrics."""

    def note(self, text: str) -> None:
        """Ignore the note."""


def emit(event: str, **fields: object) -> None:
    """Append an event to the file that ``LABRAM_EVENTS`` names, or log it if the variable is not set."""
    path = os.environ.get(EVENTS_VARIABLE)
    if not path:
        level = logging.ERROR if event == "failed" else logging.INFO
        log.log(level, _sentence(event, fields), extra={logs.FIELDS: {"event": event, **fields}})
        return
    append_rows(path, {"event": event, "time": round(time.time(), 3), **fields})


def _sentence(event: str, fields: Mapping[str, object]) -> str:
    """Such as ``pretrain: 120 of 4000  loss 5.31``, or ``evaluate gait: finished``."""
    said = str(fields.get("text", event))
    if event == "progress":
        figures = fields["figures"]
        assert isinstance(figures, Mapping)
        said = "  ".join([f"{fields['done']} of {fields['total']}", *([figures_text(figures)] if figures else [])])
    return f"{fields.get('step', '')}: {said}"


def figures_text(figures: Mapping[str, float]) -> str:
    """Such as ``loss 5.31  patches/s 2310``."""
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())


class StepReporter:
    """Reports the progress of one step; throttled, except for the last report."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._pause = SECONDS_BETWEEN_REPORTS if os.environ.get(EVENTS_VARIABLE) else SECONDS_BETWEEN_LINES
        self._last = -self._pause

    def progress(self, done: int, total: int, **figures: float) -> None:
        """See `Monitor.progress`."""
        now = time.monotonic()
        if done >= total or now - self._last >= self._pause:
            self._last = now
            emit("progress", step=self.name, done=done, total=total, figures=figures)

    def note(self, text: str) -> None:
        """Tell the user one thing worth knowing, such as what was reused."""
        emit("note", step=self.name, text=text)


@contextmanager
def step(name: str) -> Iterator[StepReporter]:
    """Announce a step's start and its end, whatever that is. Errors are announced and go on upwards.

    What is announced is kept, and so is the traceback in the pipeline's log: paths within the corpus are left out.
    """
    logs.configure()
    emit("started", step=name)
    try:
        yield StepReporter(name)
    except LabramError as error:
        error.file = logs.without_paths(error.file)
        error.__cause__, error.__suppress_context__ = None, True
        emit("failed", step=name, kind=type(error).__name__, text=str(error))
        raise
    except Exception as error:
        emit(
            "failed", step=name, kind=type(error).__name__, text=logs.without_paths(f"{type(error).__name__}: {error}")
        )
        raise
    emit("finished", step=name)
