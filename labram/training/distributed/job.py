"""What a launcher and its worker processes share: the job file, and the stream of progress and metrics back."""

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from labram import errors
from labram.errors import LabramError, PlatformError, TrainingError
from labram.events import SECONDS_BETWEEN_REPORTS, Monitor
from labram.frozen_model import FrozenModel
from labram.jsonl import append_rows
from labram.recipe import PretrainingRecipe, TokenizerRecipe

WORKER_MODULE = "labram.training.distributed.worker"
JOB_FILE, EVENTS_FILE = "job.json", "events.jsonl"
SHUTDOWN_SECONDS = 18
"""Time that workers get after SIGTERM to save a checkpoint; a pod's grace period is 30 s, 20 s are documented."""


class Job(FrozenModel):
    """Arguments of one training stage, as plain values that another process or pod can read.

    Attributes:
        stage: Training stage.
        corpus: Folder with catalogue and labels.
        store: Patch store: a folder or an ``s3://`` URL.
        initial_weights: Folder of the tokenizer (stage `pretrain`) or of the backbone (stage `finetune`).
        architecture: The recipe's section `architecture`, as JSON; unused by `finetune`.
        settings: The stage's section of the recipe, as JSON.
        seed: Random seed.
        checkpoints: Checkpoint folder, used by this training only.
        out: Output folder.
        allow: Resume from checkpoints of another corpus or recipe.
    """

    stage: Literal["tokenizer", "pretrain", "finetune"]
    corpus: Path
    store: str
    initial_weights: Path | None = None
    architecture: str = ""
    settings: str
    seed: int
    checkpoints: Path
    out: Path
    allow: bool = False

    @property
    def micro_batches(self) -> int | None:
        """Micro-batches of a step, which the processes share evenly; None for `finetune`, which shares windows."""
        if self.stage == "finetune":
            return None
        recipe = TokenizerRecipe if self.stage == "tokenizer" else PretrainingRecipe
        return recipe.from_json(self.settings).micro_batches


@contextmanager
def job_folder(job: Job) -> Iterator[Path]:
    """Create a temporary folder beside the job's checkpoints that holds `JOB_FILE` and, later, `EVENTS_FILE`.

    Raises:
        PlatformError: If the folder cannot be written.
    """
    folder = job.checkpoints / f".job-{uuid.uuid4().hex[:12]}"
    try:
        folder.mkdir(parents=True)
        (folder / JOB_FILE).write_text(job.to_json(), encoding="utf-8")
    except OSError as error:
        raise PlatformError(
            f"the job file for the worker processes cannot be written ({error.strerror})",
            file=job.checkpoints,
            remedy="Choose a writable folder",
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class EventSender:
    """A `Monitor` in a worker process: appends progress, metrics, notes and the outcome to a file of JSON lines."""

    def __init__(self, file: Path) -> None:
        self._file, self._parent, self._last_progress = file, os.getppid(), 0.0

    def progress(self, done: int, total: int, **metrics: float) -> None:
        """Report progress, see `labram.events.Monitor.progress`.

        Raises:
            TrainingError: If the process that started this one has ended.
        """
        if os.getppid() != self._parent:
            raise TrainingError("the process that started this training has ended", remedy="Start the training again")
        if done >= total or time.monotonic() - self._last_progress >= SECONDS_BETWEEN_REPORTS:
            self._last_progress = time.monotonic()
            self._append("progress", done=done, total=total, values=metrics)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Report metrics, see `labram.events.Monitor.metrics`."""
        self._append("metrics", step=step, values=dict(values))

    def note(self, text: str) -> None:
        """Report a note, see `labram.events.Monitor.note`."""
        self._append("note", text=text)

    def finished(self, metrics: Mapping[str, float]) -> None:
        """Report that the training has finished, with its final metrics."""
        self._append("finished", values=dict(metrics))

    def failed(self, error: LabramError) -> None:
        """Report the error that ended the training."""
        self._append("failed", kind=type(error).__name__, error=vars(error))

    def _append(self, event: str, **fields: object) -> None:
        append_rows(self._file, {"event": event, **fields})


class EventReceiver:
    """Reads what an `EventSender` writes and passes it on to a monitor.

    Attributes:
        error: The error that ended the training, or None.
    """

    def __init__(self, file: Path, monitor: Monitor) -> None:
        self._file, self._monitor, self._offset = file, monitor, 0
        self._metrics: dict[str, float] | None = None
        self.error: LabramError | None = None

    def receive(self) -> None:
        """Pass on all complete lines that were written since the last call."""
        if not self._file.exists():
            return
        with self._file.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                self._dispatch(json.loads(line))

    def final_metrics(self) -> dict[str, float]:
        """Return the metrics of a finished training.

        Raises:
            TrainingError: If the training never reported that it had finished.
        """
        if self._metrics is None:
            raise TrainingError("the training ended without a result", remedy="Read the log, then run it again")
        return self._metrics

    def _dispatch(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "progress":
                self._monitor.progress(event["done"], event["total"], **event["values"])
            case "metrics":
                self._monitor.metrics(event["step"], event["values"])
            case "note":
                self._monitor.note(event["text"])
            case "finished":
                self._metrics = event["values"]
            case "failed":
                self.error = self.error or errors.restore(getattr(errors, event["kind"]), event["error"])
