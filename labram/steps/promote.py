"""Promote: move the alias `champion` to the versions that passed all their gates."""

from collections.abc import Sequence
from pathlib import Path

from labram.errors import PlatformError
from labram.platform.workspace import Workspace
from labram.registry import model_registry, promotion, signing
from labram.registry.gates import Verdict
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
        decided = read_verdicts(verdicts)
        key = _signing_key(decided)
        moves = [promotion.promote(verdict, why=reason) for verdict in decided]
        for move, verdict in zip(moves, decided, strict=True):
            if move.moved and verdict.sign and key:
                signing.sign(model_registry.get_version(verdict.model, verdict.version), key)
                run.note(f"{verdict.model} version {verdict.version} is signed")
        for move in moves:
            if move.moved:
                run.note(f"{move.model}: champion is now version {move.version}, was {move.previous or 'none'}")
            elif move.awaiting:
                run.note(f"{move.model}: awaits approval: labram models approve {move.model}")
        write_promotions(out, moves)


def _signing_key(verdicts: Sequence[Verdict]) -> Path | None:
    """Return the key that signs the promoted models, before anything is promoted; None if none is to be signed.

    Raises:
        PlatformError: If the recipe asks for signatures and there is no key.
    """
    if not any(verdict.sign for verdict in verdicts):
        return None
    key = signing.configured_key(signing.SIGNING_KEY)
    if key is None or not key.is_file():
        raise PlatformError(
            "the recipe sets gates.sign: true, and there is no key",
            field=signing.SIGNING_KEY,
            remedy="Set the variable to a private key in a PEM file",
        )
    return key
