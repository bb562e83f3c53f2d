"""Input of the run report: output folders of the steps, and metadata of the run."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labram.recipe import Recipe
from labram.registry.gates import Gate, Verdict
from labram.registry.promotion import Move
from labram.training.output_files import HISTORY_FILE, RESUMED_FILE


@dataclass(frozen=True)
class RunRecord:
    """Run to report on. Folders that are None, absent or incomplete are reported as missing, not as errors.

    Attributes:
        run_name: Name of the run.
        run_id: MLflow run id; "" if there is none.
        started: Local time with zone, ISO 8601.
        finished: The same; "" while the run is unfinished.
        recipe: The resolved recipe.
        corpus_title: Short description of the corpus.
        simulated: Whether the recordings are simulated. If so, every section says it.
        corpus: Folder with the catalogue and the labels.
        tokenizer: Output folder of the tokenizer's training.
        backbone: Output folder of the masked model's training.
        tasks: Folder with fine-tuning and evaluation, by task name.
        verdicts: Gates of each registered version.
        promotions: Models whose alias `champion` moved.
        lineage: Lineage, such as ``git_commit`` and ``corpus_version``.
        stopped: Why the run ended early, in one sentence; "" if it did not.
        own_database: Whether MLflow's data are in the workspace, and not on a server.
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
    verdicts: Sequence[Verdict] = ()
    promotions: Sequence[Move] = ()
    lineage: Mapping[str, str] = field(default_factory=dict)
    stopped: str = ""
    own_database: bool = True

    @property
    def gates(self) -> tuple[tuple[str, Gate], ...]:
        """Gates of all models, each with the name of its model."""
        return tuple((verdict.model, gate) for verdict in self.verdicts for gate in verdict.gates)


@dataclass(frozen=True)
class History:
    """Metrics that a training stage logged, in order.

    Attributes:
        rows: One mapping per logged step, with ``step``, optionally ``phase``, and metrics.
        resumed: Steps at which the stage was resumed from a checkpoint.
    """

    rows: tuple[Mapping[str, object], ...]
    resumed: tuple[int, ...] = ()

    @classmethod
    def of(cls, folder: Path | None) -> "History":
        """Read ``history.jsonl`` of a folder, or return an empty history. Truncated lines are skipped."""
        path = folder / HISTORY_FILE if folder else None
        if path is None or not path.is_file():
            return cls(())
        rows = tuple(row for line in path.read_text(encoding="utf-8").splitlines() if (row := _row(line)) is not None)
        resumed = path.with_name(RESUMED_FILE)
        return cls(rows, tuple(json.loads(resumed.read_text(encoding="utf-8"))) if resumed.is_file() else ())

    def line(self, metric: str, *, phase: str = "training") -> tuple[list[float], list[float]]:
        """Return the steps and values of a metric in one phase."""
        points = [
            (float(row["step"]), float(value))  # type: ignore[arg-type]
            for row in self.rows
            if row.get("phase", "training") == phase and _is_number(value := row.get(metric))
        ]
        return [step for step, _ in points], [value for _, value in points]

    def last(self, metric: str, *, phase: str = "training") -> float | None:
        """Return the last value of a metric in one phase, or None."""
        values = self.line(metric, phase=phase)[1]
        return values[-1] if values else None

    def steps(self) -> int:
        """Return the last logged step."""
        return max((int(row["step"]) for row in self.rows), default=0)  # type: ignore[call-overload]


def _row(line: str) -> Mapping[str, object] | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) and _is_number(row.get("step")) else None


def _is_number(value: object) -> bool:
    return isinstance(value, float | int) and math.isfinite(value)
