"""Promote: move the alias `champion` to the versions that passed all their gates."""

from pathlib import Path

from labram.platform.workspace import Workspace
from labram.registry import promotion
from labram.steps.artifacts import read_verdicts, write_promotions
from labram.tracking import mlflow_runs


def promote(*, workspace: str, versions: str, verdicts: str, out: str) -> None:
    """Apply the verdicts; write `promotions.json`.

    Args:
        workspace: The workspace.
        versions: Folder that `register` wrote, an input only so that this step runs after it.
        verdicts: Folder that `gate` wrote.
        out: Folder for `promotions.json`.
    """
    assert Path(versions).is_dir()
    with mlflow_runs.tracked("promote", Workspace.at(workspace).root) as run:
        reason = f"gates passed in run {mlflow_runs.pipeline_run_name()}"
        for sentence in (*promotion.finish_interrupted(), *promotion.apply_approvals()):
            run.note(sentence)
        moves = [promotion.promote(verdict, why=reason) for verdict in read_verdicts(verdicts)]
        for move in moves:
            if move.moved:
                run.note(f"{move.model}: champion is now version {move.version}, was {move.previous or 'none'}")
            elif move.awaiting:
                run.note(f"{move.model}: awaits approval: labram models approve {move.model}")
        write_promotions(out, moves)
