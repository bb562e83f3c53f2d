"""What a report is written from: the folders that the steps of a run left, and plain data about it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labram.recipe import Recipe


@dataclass(frozen=True)
class GateOutcome:
    """One condition on the promotion of one model, and how it was judged."""

    model: str
    name: str
    passed: bool
    detail: str
    figures: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Promotion:
    """A version of a registered model and the aliases that moved to it."""

    model: str
    version: str
    moves: tuple[str, ...]


@dataclass(frozen=True)
class RunRecord:
    """A run, as far as it came. A folder that is None, absent or incomplete is reported as missing, not as an error.

    Attributes:
        run_name: What people call the run.
        run_id: Its identifier in the tracking server; empty where there is none.
        started: Local time with zone, ISO 8601.
        finished: The same; empty while the run is going on.
        recipe: The resolved recipe.
        corpus_title: What the corpus is, in a few words.
        simulated: Whether its recordings are simulated: said at the head of every section.
        corpus: Folder with the catalogue and the labels.
        tokenizer: Folder of the tokenizer's training.
        backbone: Folder of the masked model's training.
        tasks: By name of the task, the folder of its fine-tuning and evaluation.
        gates: Conditions on promotion, as judged.
        promotions: Versions whose aliases moved.
        lineage: Where the results come from, such as ``git_commit`` and ``corpus_version``.
        stopped: Why the run ended early, in one sentence; empty where it did not.
    """

    run_name: str
    run_id: str
    started: str
    finished: str
    recipe: Recipe
    corpus_title: str
    simulated: bool
    corpus: Path | None = None
    tokenizer: Path | None = None
    backbone: Path | None = None
    tasks: Mapping[str, Path] = field(default_factory=dict)
    gates: Sequence[GateOutcome] = ()
    promotions: Sequence[Promotion] = ()
    lineage: Mapping[str, str] = field(default_factory=dict)
    stopped: str = ""


@dataclass(frozen=True)
class History:
    """The metrics that a training stage logged, in order.

    Attributes:
        rows: A dictionary a logged step, with ``step``, maybe ``phase``, and numbers.
        resumed: Steps after which the stage, interrupted, went on from a checkpoint.
    """

    rows: tuple[Mapping[str, object], ...]
    resumed: tuple[int, ...] = ()

    @classmethod
    def of(cls, folder: Path | None) -> "History":
        """Read ``history.jsonl``; empty where there is none. A line cut short by a kill is left out."""
        path = folder / "history.jsonl" if folder else None
        if path is None or not path.is_file():
            return cls(())
        rows = tuple(row for line in path.read_text().splitlines() if (row := _row(line)) is not None)
        resumed = path.with_name("resumed.json")
        return cls(rows, tuple(json.loads(resumed.read_text())) if resumed.is_file() else ())

    def line(self, metric: str, *, phase: str = "training") -> tuple[list[float], list[float]]:
        """Steps and values of a metric in one phase."""
        found = [
            (float(row["step"]), float(value))  # type: ignore[arg-type]
            for row in self.rows
            if row.get("phase", "training") == phase and _is_number(value := row.get(metric))
        ]
        return [step for step, _ in found], [value for _, value in found]

    def last(self, metric: str, *, phase: str = "training") -> float | None:
        """The last value of a metric in one phase."""
        values = self.line(metric, phase=phase)[1]
        return values[-1] if values else None

    def steps(self) -> int:
        """The last step that was logged."""
        return max((int(row["step"]) for row in self.rows), default=0)  # type: ignore[call-overload]


def _row(line: str) -> Mapping[str, object] | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) and _is_number(row.get("step")) else None


def _is_number(value: object) -> bool:
    return isinstance(value, float | int) and math.isfinite(value)
