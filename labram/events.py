"""Events of pipeline steps: start, progress, notes and end.

Each step runs in its own process (a KFP task). It appends its events to the JSON lines file that ``LABRAM_EVENTS``
names; `labram run` follows that file and displays the progress. Without the variable, events are logged, as in a pod
(see `labram.logs`).
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from labram import cores, logs
from labram.errors import LabramError
from labram.jsonl import append_rows
from labram.printable import printable
from labram.system_errors import as_sentence

log = logging.getLogger("labram")
EVENTS_VARIABLE = "LABRAM_EVENTS"
SECONDS_BETWEEN_REPORTS = 0.25
SECONDS_BETWEEN_LINES = 10.0
"""Interval between progress lines in a log."""
KUBERNETES_VARIABLE = "KUBERNETES_SERVICE_HOST"
"""Environment variable that every container of a pod has."""
TERMINATION_MESSAGE, MAX_MESSAGE = Path("/dev/termination-log"), 4096
"""Kubernetes' default `terminationMessagePath`, which every user may write, and its limit in bytes."""


class Monitor(Protocol):
    """Receiver of the progress and metrics of a training loop or another long task."""

    def progress(self, done: int, total: int, **metrics: float) -> None:
        """Report that `done` of `total` units are finished; `metrics` are displayed next to the progress."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record the metrics of one optimiser step or evaluation."""

    def note(self, text: str) -> None:
        """Report a message for the user, such as what was reused."""


class NullMonitor:
    """Monitor that ignores everything, for tests and for use as a library."""

    def progress(self, done: int, total: int, **metrics: float) -> None:
        """Ignore the progress."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Ignore the metrics."""

    def note(self, text: str) -> None:
        """Ignore the message."""


def followed() -> bool:
    """Return whether `labram run` follows the events, so that they are not logged."""
    return bool(os.environ.get(EVENTS_VARIABLE))


def emit(event: str, **fields: object) -> None:
    """Append an event to the file that ``LABRAM_EVENTS`` names, or log it if the variable is not set."""
    path = os.environ.get(EVENTS_VARIABLE)
    if not path:
        level = logging.ERROR if event == "failed" else logging.INFO
        log.log(level, _sentence(event, fields), extra={logs.FIELDS: {"event": event, **fields}})
        return
    append_rows(path, {"event": event, "time": round(time.time(), 3), **fields})


def _sentence(event: str, fields: Mapping[str, object]) -> str:
    """Format an event as ``pretrain: 120 of 4000  loss 5.31``, or ``evaluate gait: finished``."""
    text = str(fields.get("text", event))
    if event == "progress":
        metrics = fields["metrics"]
        assert isinstance(metrics, Mapping)
        text = "  ".join([f"{fields['done']} of {fields['total']}", *([format_metrics(metrics)] if metrics else [])])
    return printable(f"{fields.get('step', '')}: {text}")


def format_metrics(metrics: Mapping[str, float]) -> str:
    """Format metrics as ``loss 5.31  patches/s 2310``."""
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())


class StepReporter:
    """Reporter of one step's progress; throttled, except for the last report."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._pause = SECONDS_BETWEEN_REPORTS if os.environ.get(EVENTS_VARIABLE) else SECONDS_BETWEEN_LINES
        self._last = -self._pause

    def progress(self, done: int, total: int, **metrics: float) -> bool:
        """See `Monitor.progress`; return whether this report was emitted."""
        now = time.monotonic()
        due = done >= total or now - self._last >= self._pause
        if due:
            self._last = now
            emit("progress", step=self.name, done=done, total=total, metrics=metrics)
        return due

    def note(self, text: str) -> None:
        """Report a message for the user, such as what was reused."""
        emit("note", step=self.name, text=text)


def failure_text(error: Exception) -> str:
    """Return what failed and what to do about it, without paths within the corpus."""
    if isinstance(error, LabramError):
        return logs.redact_paths(str(error))
    return logs.redact_paths(str(as_sentence(error) or f"{type(error).__name__}: {error}"))


def _end_with(text: str) -> None:
    """Leave a message where Kubernetes reads it when the container ends: Argo and KFP show it with the failed task."""
    if KUBERNETES_VARIABLE in os.environ:
        with suppress(OSError):
            TERMINATION_MESSAGE.write_bytes(text.encode()[:MAX_MESSAGE])


@contextmanager
def step(name: str) -> Iterator[StepReporter]:
    """Report the start and the end of a step. Errors are reported and raised again.

    Paths within the corpus are redacted in events and tracebacks, because logs are stored. Threads of libraries follow
    the CPU limit of the container.
    """
    logs.configure()
    cores.follow_container_limit()
    emit("started", step=name)
    try:
        yield StepReporter(name)
    except LabramError as error:
        error.file = logs.redact_paths(error.file)
        error.__cause__, error.__suppress_context__ = None, True
        emit("failed", step=name, kind=type(error).__name__, text=str(error))
        _end_with(f"{name}: {error}")
        raise
    except Exception as error:
        text = failure_text(error)
        emit("failed", step=name, kind=type(error).__name__, text=text)
        _end_with(f"{name}: {text}")
        raise
    emit("finished", step=name)
