"""Promote: the champion aliases move to the versions that passed all their gates."""

import json
from pathlib import Path

from labram.platform.workspace import Workspace
from labram.registry import promotion
from labram.registry.promotion import Move
from labram.steps.gate import read_verdicts
from labram.tracking import mlflow_runs

PROMOTIONS_FILE = "promotions.json"


def promote(*, workspace: str, versions: str, verdicts: str, out: str) -> None:
    """Apply the verdicts; write `promotions.json`.

    Args:
        workspace: The workspace.
        versions: Folder that `register` wrote; promotion waits for it.
        verdicts: Folder that `gate` wrote.
        out: Folder for `promotions.json`.
    """
    assert Path(versions).is_dir()
    with mlflow_runs.tracked("promote", Workspace.at(workspace).root) as run:
        why = f"gates passed in run {mlflow_runs.pipeline_run_name()}"
        moves = [promotion.promote(verdict, why=why) for verdict in read_verdicts(verdicts)]
        for move in moves:
            if move.moved:
                run.note(f"{move.model}: champion is now version {move.version}, was {move.previous or 'none'}")
        Path(out).mkdir(parents=True, exist_ok=True)
        written = json.dumps([move.model_dump(mode="json") for move in moves], indent=1)
        (Path(out) / PROMOTIONS_FILE).write_text(written)


def read_moves(folder: str) -> list[Move]:
    """The moves that `promote` wrote."""
    return [Move.model_validate(entry) for entry in json.loads((Path(folder) / PROMOTIONS_FILE).read_text())]
