"""Promotion of challengers to champion, and rollback.

MLflow's aliases have no compare-and-set. An alias is therefore moved under a lock that all promotions of a tracking
server share (`labram.registry.promotion_lock`), and only if the champion is still the one that the gates compared with.
"""

import getpass
import os
from datetime import UTC, datetime

from labram.errors import RegistryError
from labram.frozen_model import FrozenModel
from labram.registry import model_registry
from labram.registry.gates import Verdict
from labram.registry.model_registry import CHALLENGER, CHAMPION, PREVIOUS, ModelVersion
from labram.registry.promotion_lock import promotion_lock


class Move(FrozenModel):
    """Outcome of a promotion.

    Attributes:
        model: Registered name.
        version: The champion's version afterwards; None if there is none.
        previous: The champion's version before.
        moved: Whether the alias moved.
        why: Reason, in words.
    """

    model: str
    version: str | None
    previous: str | None
    moved: bool
    why: str


def promote(verdict: Verdict, *, why: str) -> Move:
    """Move the alias *champion* to the challenger if all its gates passed, and tag the version with the verdict.

    Args:
        verdict: The challenger's gates, and the champion that they compared it with.
        why: Reason stored as a tag of the version, such as the name of the pipeline run.

    Returns:
        Whether the alias moved, and why.

    Raises:
        RegistryError: If the version does not exist, or the champion has changed since the verdict.
    """
    with promotion_lock():
        candidate = model_registry.get_version(verdict.model, verdict.version)
        champion = model_registry.get_by_alias(verdict.model, CHAMPION)
        current = champion.version if champion else None
        summary = "; ".join(f"{gate.name}: {gate.detail}" for gate in verdict.failed_gates or verdict.gates)
        model_registry.set_tags(candidate, {"gate": verdict.outcome, "gate_detail": summary})
        if not verdict.passed:
            return Move(model=verdict.model, version=current, previous=current, moved=False, why=summary)
        if current == candidate.version:
            return Move(model=verdict.model, version=current, previous=current, moved=False, why="already champion")
        if current != verdict.champion:
            raise RegistryError(
                f"the champion of {verdict.model} is {_named(current)}, but the gates compared with "
                f"{_named(verdict.champion)}",
                field="champion",
                remedy="Run the same command again: it compares with the current champion",
            )
        _move(candidate, champion, why=why, how="promoted")
    return Move(model=verdict.model, version=candidate.version, previous=current, moved=True, why=summary)


def rollback(name: str, *, why: str = "") -> str:
    """Swap the champion and the previous champion.

    Returns:
        A sentence that names both.

    Raises:
        RegistryError: If the model has no previous champion.
    """
    with promotion_lock():
        champion = model_registry.get_by_alias(name, CHAMPION)
        previous = model_registry.get_by_alias(name, PREVIOUS)
        if previous is None:
            existing = ", ".join(version.version for version in model_registry.list_versions(name)) or "none"
            raise RegistryError(
                f"{name} has no previous champion to roll back to",
                field="model",
                remedy=f"Promote a second version first; registered versions: {existing}",
            )
        _move(previous, champion, why=why or "rolled back", how="restored")
        if champion:
            model_registry.set_tags(champion, {"gate": "rolled back"})
    return f"{name}: rolled back to version {previous.version} from {_named(champion.version if champion else None)}."


def _move(to: ModelVersion, champion: ModelVersion | None, *, why: str, how: str) -> None:
    """Move the alias of the previous champion first, so that readers always find a champion."""
    server, actor = model_registry.client(), _actor()
    if champion:
        server.set_registered_model_alias(to.name, PREVIOUS, champion.version)
    server.set_registered_model_alias(to.name, CHAMPION, to.version)
    if CHALLENGER in to.aliases:
        server.delete_registered_model_alias(to.name, CHALLENGER)
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    model_registry.set_tags(to, {f"{how}_by": actor, f"{how}_at": moment, f"{how}_why": why})
    if champion:
        model_registry.set_tags(to, {"replaced": champion.version})
        model_registry.set_tags(champion, {"replaced_by": to.version, "replaced_at": moment})


def _named(version: str | None) -> str:
    return f"version {version}" if version else "none"


def _actor() -> str:
    """Return who moves the alias: ``LABRAM_ACTOR`` if set, else the user's name or uid."""
    try:
        return os.environ.get("LABRAM_ACTOR") or getpass.getuser()
    except (OSError, KeyError):
        return f"uid-{os.getuid()}"
