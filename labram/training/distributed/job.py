"""One training as plain values, so that another process, or a pod of another node, can do it."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from labram import errors
from labram.corpus.catalogue import Corpus
from labram.errors import LabramError, TrainingError
from labram.events import SECONDS_BETWEEN_REPORTS, Monitor
from labram.frozen_model import FrozenModel
from labram.jsonl import append_rows
from labram.recipe import ArchitectureRecipe, PretrainingRecipe, TaskRecipe, TokenizerRecipe
from labram.store.store import Store


class Job(FrozenModel):
    """A stage of training and all that it needs.

    Attributes:
        stage: Which one.
        corpus: Folder with catalogue and labels.
        store: Where the patches are: a folder or ``s3://``.
        begin: Folder of the tokenizer (to pre-train) or of the backbone (to fine-tune).
        architecture: The recipe's section, as JSON; not for fine-tuning.
        settings: The stage's section of the recipe, as JSON.
        seed: Of everything random.
        checkpoints: Folder of this training alone.
        out: Folder for the results.
        allow: Go on from checkpoints of another corpus or recipe.
    """

    stage: Literal["tokenizer", "pretrain", "finetune"]
    corpus: Path
    store: str
    begin: Path | None = None
    architecture: str = ""
    settings: str
    seed: int
    checkpoints: Path
    out: Path
    allow: bool = False

    def run(self, monitor: Monitor) -> dict[str, float]:
        """Train in this process, and with the other ranks of the process group if there is one; return the metrics.

        Raises:
            LabramError: As the stages do, see `labram.training.train_stages`.
            SystemExit: With code 143 after SIGTERM; a checkpoint was written.
        """
        from labram.training import train_stages

        corpus, store = Corpus.load(self.corpus), Store(self.store if "://" in self.store else Path(self.store))
        common: dict[str, Any] = {
            "seed": self.seed,
            "checkpoints": self.checkpoints,
            "out": self.out,
            "monitor": monitor,
            "allow": self.allow,
        }
        if self.stage == "finetune":
            assert self.begin is not None
            return train_stages.finetune(corpus, store, self.begin, TaskRecipe.from_json(self.settings), **common)
        architecture = ArchitectureRecipe.from_json(self.architecture)
        if self.stage == "tokenizer":
            recipe = TokenizerRecipe.from_json(self.settings)
            return train_stages.train_tokenizer(corpus, store, architecture, recipe, **common)
        assert self.begin is not None
        return train_stages.pretrain(
            corpus, store, self.begin, architecture, PretrainingRecipe.from_json(self.settings), **common
        )


class Sender:
    """The monitor of a training in another process: what it is told goes, line by line, to a file."""

    def __init__(self, file: Path) -> None:
        self._file, self._parent, self._last = file, os.getppid(), 0.0

    def progress(self, done: int, total: int, **figures: float) -> None:
        """See `labram.events.Monitor.progress`; leaves when the process that asked for the training is gone."""
        if os.getppid() != self._parent:
            raise TrainingError("the process that started this training is gone", remedy="Start the training again")
        if done >= total or time.monotonic() - self._last >= SECONDS_BETWEEN_REPORTS:
            self._last = time.monotonic()
            self._send("progress", done=done, total=total, figures=figures)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """See `labram.events.Monitor.metrics`."""
        self._send("metrics", step=step, values=dict(values))

    def note(self, text: str) -> None:
        """See `labram.events.Monitor.note`."""
        self._send("note", text=text)

    def finished(self, figures: Mapping[str, float]) -> None:
        """The training is done."""
        self._send("finished", figures=dict(figures))

    def failed(self, error: LabramError) -> None:
        """The training ended with an error that a user can read."""
        self._send("failed", kind=type(error).__name__, error=vars(error))

    def _send(self, what: str, **fields: object) -> None:
        append_rows(self._file, {"what": what, **fields})


class Receiver:
    """Passes on to a monitor what a `Sender` writes.

    Attributes:
        figures: Of the training, once it is finished.
        error: Which it ended with.
    """

    def __init__(self, file: Path, monitor: Monitor) -> None:
        self._file, self._monitor, self._place = file, monitor, 0
        self.figures: dict[str, float] | None = None
        self.error: LabramError | None = None

    def receive(self) -> None:
        """Pass on all whole lines that have come since the last call."""
        if not self._file.exists():
            return
        with self._file.open("rb") as stream:
            stream.seek(self._place)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._place += len(line)
                self._pass_on(json.loads(line))

    def _pass_on(self, line: dict[str, Any]) -> None:
        match line["what"]:
            case "progress":
                self._monitor.progress(line["done"], line["total"], **line["figures"])
            case "metrics":
                self._monitor.metrics(line["step"], line["values"])
            case "note":
                self._monitor.note(line["text"])
            case "finished":
                self.figures = line["figures"]
            case "failed":
                self.error = self.error or errors.restore(getattr(errors, line["kind"]), line["error"])
