"""Files that steps pass to one another: their names, how they are written, how they are read.

Each has a checksum, which is compared when it is read: gates and promotions rest on them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from labram import checksums
from labram.evaluation import leakage
from labram.evaluation.leakage import Ledger
from labram.evaluation.predictions import PREDICTIONS_FILE, Predictions
from labram.evaluation.record import EVALUATION_FILE, Evaluation
from labram.jsonl import read_rows
from labram.registry.gates import Verdict
from labram.registry.promotion import Move
from labram.training.output_files import CODEBOOK_FILE, HISTORY_FILE, RESUMED_FILE, TASK_FILE

VERSIONS_FILE, VERDICTS_FILE, PROMOTIONS_FILE = "versions.json", "verdicts.json", "promotions.json"
LEDGER_FILE = leakage.FILE
TRAINING_FILES = (HISTORY_FILE, RESUMED_FILE, TASK_FILE)
"""Files of a task model that `evaluate` copies beside the evaluation, for the report."""


def write_versions(folder: str, versions: Mapping[str, str]) -> None:
    """Write the registered versions by model name."""
    _write(folder, VERSIONS_FILE, dict(versions))


def read_versions(folder: str) -> dict[str, str]:
    """Return the versions that `register` wrote, by model name."""
    return dict(_read(folder, VERSIONS_FILE))


def write_verdicts(folder: str, verdicts: Iterable[Verdict]) -> None:
    """Write the verdict on each registered version."""
    _write(folder, VERDICTS_FILE, {"verdicts": _dumped(verdicts)})


def read_verdicts(folder: str) -> list[Verdict]:
    """Return the verdicts that `gate` wrote."""
    return [Verdict.model_validate(entry) for entry in _read(folder, VERDICTS_FILE)["verdicts"]]


def write_promotions(folder: str, moves: Iterable[Move]) -> None:
    """Write what happened to the champion alias of each model."""
    _write(folder, PROMOTIONS_FILE, {"promotions": _dumped(moves)})


def read_promotions(folder: str) -> list[Move]:
    """Return the alias moves that `promote` wrote."""
    return [Move.model_validate(entry) for entry in _read(folder, PROMOTIONS_FILE)["promotions"]]


def read_evaluation(folder: str | Path) -> Evaluation:
    """Return the evaluation that `evaluate` wrote."""
    checksums.require_sealed(Path(folder) / EVALUATION_FILE)
    return Evaluation.read(Path(folder) / EVALUATION_FILE)


def read_predictions(folder: str | Path) -> Predictions:
    """Return the test predictions that `evaluate` wrote."""
    checksums.require_sealed(Path(folder) / PREDICTIONS_FILE)
    return Predictions.read(Path(folder) / PREDICTIONS_FILE)


def read_ledger(model: str | Path) -> Ledger:
    """Return the leakage ledger of a model that this version trained."""
    checksums.require_sealed(Path(model) / LEDGER_FILE)
    return Ledger.read(Path(model))


def read_codebook(tokenizer: str | Path) -> dict[str, Any]:
    """Return the codebook usage that `tokenizer` wrote."""
    return _read(tokenizer, CODEBOOK_FILE)


def last_validation(model: str | Path) -> dict[str, float]:
    """Return the last validation metrics in the history of a training."""
    checksums.require_sealed(Path(model) / HISTORY_FILE)
    rows = read_rows(Path(model) / HISTORY_FILE)
    return dict(next(row for row in reversed(rows) if row.get("phase") == "validation"))


def _dumped(models: Iterable[BaseModel]) -> list[dict[str, Any]]:
    return [model.model_dump(mode="json") for model in models]


def _write(folder: str | Path, name: str, content: Mapping[str, Any]) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    checksums.write_json(Path(folder) / name, content, indent=1)


def _read(folder: str | Path, name: str) -> dict[str, Any]:
    return dict(checksums.loads(checksums.require_sealed(Path(folder) / name)))
