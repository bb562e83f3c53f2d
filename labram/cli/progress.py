"""Progress output: bars on a terminal, plain lines elsewhere."""

import json
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

from labram.events import format_metrics
from labram.printable import one_line, printable


class Terminal(Console):
    """Console that escapes control characters in texts, because file names may hold them."""

    def render_str(self, text: str, **options: Any) -> Text:
        """See `rich.console.Console.render_str`."""
        return super().render_str(printable(text), **options)


console = Terminal(highlight=False, markup=False)


class Times(ProgressColumn):
    """Column with the elapsed time of a step and, while it runs, the estimated time left."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Return the times, such as ``0:01:05, 0:12:40 left``."""
        seconds = task.finished_time if task.finished else task.elapsed
        text = str(timedelta(seconds=int(seconds or 0.0)))
        if not task.finished and task.time_remaining is not None:
            text += f", {timedelta(seconds=int(task.time_remaining))} left"
        return Text(text, style="progress.elapsed")


def bars() -> Progress:
    """Return a live display with one bar per step, in characters that the terminal's encoding has."""
    spinner, finished = ("line", "*") if console.options.ascii_only else ("dots", "✓")
    return Progress(
        SpinnerColumn(spinner, finished_text=finished),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[metrics]}", markup=False),
        Times(),
        console=console,
    )


class Bar:
    """Monitor that draws one progress bar."""

    def __init__(self, title: str) -> None:
        self._progress = bars()
        self._task = self._progress.add_task(one_line(title), total=None, metrics="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def progress(self, done: int, total: int, **metrics: float) -> None:
        """See `labram.events.Monitor.progress`."""
        self._progress.update(self._task, completed=done, total=total, metrics=format_metrics(metrics))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Ignore the metrics, which are logged elsewhere."""

    def note(self, text: str) -> None:
        """Print a note."""
        console.print(f"  {text}")


class Lines:
    """Monitor that prints one line of JSON per report."""

    def progress(self, done: int, total: int, **metrics: float) -> None:
        """See `labram.events.Monitor.progress`."""
        self._print("progress", done=done, total=total, metrics=metrics)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """See `labram.events.Monitor.metrics`."""
        self._print("metrics", step=step, values=dict(values))

    def note(self, text: str) -> None:
        """See `labram.events.Monitor.note`."""
        self._print("note", text=text)

    def _print(self, event: str, **fields: object) -> None:
        sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
        sys.stdout.flush()


class StepDisplay:
    """Display of a pipeline run's events: one bar per step; without a terminal, a line at its start and its end."""

    def __init__(self) -> None:
        self._progress = bars()
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self.finished: list[str] = []
        self.failures: list[str] = []
        self.unchanged_since: str | None = None

    def __enter__(self) -> Self:
        if console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if console.is_terminal:
            self._progress.stop()

    def show(self, event: Mapping[str, object]) -> None:
        """Show one event (see `labram.events`)."""
        step = str(event.get("step", ""))
        match event["event"]:
            case "started":
                self._start(step)
            case "progress":
                self._move(step, event)
            case "note":
                console.print(f"  {step}: {event['text']}")
            case "unchanged":
                self.unchanged_since = str(event["since"])
            case "failed":
                self.failures.append(f"{step}: {event['text']}")
            case "finished":
                self._finish(step)

    def _start(self, step: str) -> None:
        self._started[step] = time.monotonic()
        if not console.is_terminal:
            console.print(f"{step} …")
        elif step not in self._tasks:
            self._tasks[step] = self._progress.add_task(one_line(step), total=None, metrics="")

    def _move(self, step: str, event: Mapping[str, object]) -> None:
        metrics = event.get("metrics")
        if step in self._tasks:
            self._progress.update(
                self._tasks[step],
                completed=float(str(event["done"])),
                total=float(str(event["total"])),
                metrics=format_metrics(metrics) if isinstance(metrics, dict) else "",
            )

    def _finish(self, step: str) -> None:
        self.finished.append(step)
        if step in self._tasks:
            task = self._progress.tasks[self._tasks[step]]
            total = task.total or 1
            self._progress.update(self._tasks[step], total=total, completed=total)
        else:
            console.print(f"{step} done in {time.monotonic() - self._started.get(step, time.monotonic()):.1f} s")
