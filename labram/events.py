"""What a running step tells the world: it started, how far it is, how it ended.

Steps run in processes of their own (a KFP task each), so they speak through an append-only file of JSON lines named
by ``LABRAM_EVENTS``; `labram run` follows it and draws the progress. Where the variable is not set, lines go to the
log, which is what a pod shows.
"""

import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeVar

from labram.errors import LabramError

log = logging.getLogger("labram")
CORPUS_VARIABLE = "LABRAM_CORPUS"
"""Environment variable with the corpus folder. Names of folders and files may be people's, so nothing keeps them."""
Text = TypeVar("Text", str, str | None)
SECONDS_BETWEEN_REPORTS = 0.25


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
    """Write one event. A single `write` of one line, so that concurrent tasks never interleave."""
    line = json.dumps({"event": event, "time": round(time.time(), 3), **fields})
    path = os.environ.get("LABRAM_EVENTS")
    if not path:
        log.info(line)
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, (line + "\n").encode())
    finally:
        os.close(descriptor)


class StepReporter:
    """Reports the progress of one step; throttled, except for the last report."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._last = 0.0

    def progress(self, done: int, total: int, **figures: float) -> None:
        """See `Monitor.progress`."""
        now = time.monotonic()
        if done >= total or now - self._last >= SECONDS_BETWEEN_REPORTS:
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
    emit("started", step=name)
    try:
        yield StepReporter(name)
    except LabramError as error:
        error.file = _outside_corpus(error.file)
        error.__cause__, error.__suppress_context__ = None, True
        emit("failed", step=name, kind=type(error).__name__, text=str(error))
        raise
    except Exception as error:
        emit("failed", step=name, kind=type(error).__name__, text=_outside_corpus(f"{type(error).__name__}: {error}"))
        raise
    emit("finished", step=name)


def _outside_corpus(text: Text) -> Text:
    """A text without the paths in it that lead into the corpus folder."""
    corpus = os.environ.get(CORPUS_VARIABLE)
    return re.sub(re.escape(corpus) + r"[^'\"\n]*", "--data", text) if corpus and text else text
