"""Promotion of challengers to champion, by gates or by hand; rejection, approval and rollback.

MLflow's aliases have no compare-and-set. An alias is therefore moved under a lock that all promotions of a tracking
server share (`labram.registry.promotion_lock`), and only if the champion is still the one that the gates compared with.
Every move is an entry of `labram.registry.audit`, written before the aliases move: the next holder of the lock finishes
the moves of killed processes first.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from labram.errors import RegistryError
from labram.frozen_model import FrozenModel
from labram.registry import audit, model_registry
from labram.registry.audit import LONGEST_REASON, Entry
from labram.registry.gates import OUTCOMES, Verdict
from labram.registry.model_registry import CHALLENGER, CHAMPION, PREVIOUS, ModelVersion
from labram.registry.promotion_lock import promotion_lock

APPROVAL, REQUIRED, APPROVED = "approval", "required", "approved"
"""Tag of a version that awaits a person's approval, and its values."""
COMPARED_WITH = "gate_champion"
"""Tag with the champion that the gates compared a version with; ``none`` if there was none."""


class Move(FrozenModel):
    """Outcome of a promotion.

    Attributes:
        model: Registered name.
        version: The champion's version afterwards; None if there is none.
        previous: The champion's version before.
        moved: Whether the alias moved.
        why: Reason, in words.
        awaiting: Whether all gates passed and the version awaits a person's approval.
    """

    model: str
    version: str | None
    previous: str | None
    moved: bool
    why: str
    awaiting: bool = False


def promote(verdict: Verdict, *, why: str) -> Move:
    """Move the alias *champion* to the challenger if all its gates passed, and tag the version with the verdict.

    Args:
        verdict: The challenger's gates, and the champion that they compared it with.
        why: Reason stored as a tag of the version, such as the name of the pipeline run.

    Returns:
        Whether the alias moved, and why. If an interrupted attempt with the same reason moved it, it counts as moved.

    Raises:
        RegistryError: If the version does not exist, or the champion has changed since the verdict.
    """
    with _locked():
        candidate = model_registry.get_version(verdict.model, verdict.version)
        champion = model_registry.get_by_alias(verdict.model, CHAMPION)
        current = champion.version if champion else None
        summary = "; ".join(f"{gate.name}: {gate.detail}" for gate in verdict.failed_gates or verdict.gates)

        def stays(reason: str, *, awaiting: bool = False) -> Move:
            return Move(
                model=verdict.model, version=current, previous=current, moved=False, why=reason, awaiting=awaiting
            )

        model_registry.set_tags(candidate, _evidence(verdict, summary))
        if not verdict.passed:
            return stays(summary)
        if current == candidate.version:
            if CHALLENGER in candidate.aliases:  # of a run that was killed after its promotion
                model_registry.client().delete_registered_model_alias(verdict.model, CHALLENGER)
            if candidate.tags.get("promoted_why") != why:
                return stays("already champion")
            before = candidate.tags.get("replaced")
            return Move(model=verdict.model, version=current, previous=before, moved=True, why=summary)
        _require_current(verdict.model, verdict.champion, current)
        if verdict.approval and candidate.tags.get(APPROVAL) != APPROVED:
            model_registry.set_tags(candidate, {APPROVAL: REQUIRED})
            return stays("awaiting approval", awaiting=True)
        _record(_entry("promoted", candidate, champion, why, gates=verdict.outcome))
    return Move(model=verdict.model, version=candidate.version, previous=current, moved=True, why=summary)


def promote_version(name: str, version: str, *, why: str = "", override: str = "") -> str:
    """Promote a version by hand: one whose gates passed, or any with a reason to override them.

    Args:
        name: Registered name.
        version: Its version.
        why: Reason.
        override: Reason to promote it although a gate failed, was not evaluated, or compared with another champion.

    Returns:
        A sentence that names both champions.

    Raises:
        RegistryError: If the version does not exist, is champion, or must not be promoted without `override`.
    """
    with _locked():
        candidate = model_registry.get_version(name, version)
        champion = model_registry.get_by_alias(name, CHAMPION)
        if champion is not None and champion.version == candidate.version:
            raise RegistryError(
                f"version {version} of {name} is the champion already", field="--to", remedy="Choose another version"
            )
        objection = _objection(candidate, champion)
        if objection and not override:
            raise RegistryError(
                objection, field="--to", remedy='Give --override "reason" to promote it nevertheless; it is logged'
            )
        reason = override if objection else why or override or "promoted by hand"
        _record(_entry("promoted", candidate, champion, reason, override=bool(objection)))
    return f"{name}: version {version} is champion, before: {_named(champion.version if champion else None)}."


def approve(name: str, *, version: str | None = None, why: str = "") -> str:
    """Approve a version whose gates passed and that awaits approval, by default the challenger, and promote it.

    Raises:
        RegistryError: If there is no such version, or it does not await approval.
    """
    candidate = model_registry.get_version(name, version) if version else model_registry.get_by_alias(name, CHALLENGER)
    if candidate is None or candidate.tags.get(APPROVAL) not in {REQUIRED, APPROVED}:
        waiting = [entry for entry in model_registry.list_versions() if entry.tags.get(APPROVAL) == REQUIRED]
        listed = ", ".join(f"{entry.name} version {entry.version}" for entry in waiting)
        raise RegistryError(
            f"no {f'version {version}' if version else 'challenger'} of {name} awaits approval",
            field="model",
            remedy=f"Approve one of: {listed}" if listed else "Set gates.approval: required in the recipe to be asked",
        )
    said = promote_version(name, candidate.version, why=why or "approved")
    model_registry.set_tags(candidate, {APPROVAL: APPROVED})
    return said


def apply_approvals() -> list[str]:
    """Promote the challengers whose tag ``approval`` somebody set to ``approved`` in MLflow.

    Returns:
        A sentence for each; what cannot be promoted any more is said, not raised.
    """
    said = []
    for version in model_registry.list_versions():
        if version.tags.get(APPROVAL) == APPROVED and CHALLENGER in version.aliases:
            try:
                said.append(approve(version.name, version=version.version, why="tag approval: approved"))
            except RegistryError as error:
                said.append(f"{version.name} version {version.version} is approved, but not promoted: {error}")
    return said


def reject(name: str, version: str, *, why: str) -> str:
    """Reject a version: it loses the alias *challenger*, and its tags say why.

    Raises:
        RegistryError: If the version does not exist, or is the champion.
    """
    with _locked():
        candidate = model_registry.get_version(name, version)
        if CHAMPION in candidate.aliases:
            raise RegistryError(
                f"version {version} of {name} is the champion", field="--to", remedy="Roll it back instead"
            )
        champion = model_registry.get_by_alias(name, CHAMPION)
        _record(_entry("rejected", candidate, champion, why))
    return f"{name}: version {version} was rejected; the champion is {_named(champion.version if champion else None)}."


def rollback(name: str, *, to: str | None = None, why: str = "") -> str:
    """Make an earlier champion the champion again, by default the previous one; the champion becomes the previous one.

    Returns:
        A sentence that names both.

    Raises:
        RegistryError: If there is no earlier champion to roll back to.
    """
    with _locked():
        champion = model_registry.get_by_alias(name, CHAMPION)
        previous = model_registry.get_version(name, to) if to else model_registry.get_by_alias(name, PREVIOUS)
        if previous is None or (champion and previous.version == champion.version) or not _was_champion(previous):
            existing = [entry for entry in model_registry.list_versions(name) if _was_champion(entry)]
            listed = ", ".join(entry.version for entry in existing if entry.aliases != (CHAMPION,)) or "none"
            raise RegistryError(
                f"{name} has no previous champion to roll back to"
                if not to
                else f"version {to} of {name} is no earlier champion",
                field="--to" if to else "model",
                remedy=f"Earlier champions: {listed}. `labram models promote` promotes another version",
            )
        _record(_entry("restored", previous, champion, why or "rolled back"))
        if champion:
            model_registry.set_tags(champion, {"gate": "rolled back"})
    return f"{name}: rolled back to version {previous.version} from {_named(champion.version if champion else None)}."


def delete(version: ModelVersion) -> None:
    """Delete a version without an alias.

    Raises:
        RegistryError: If it has an alias by now.
    """
    with _locked():
        current = model_registry.get_version(version.name, version.version)
        if current.aliases:
            raise RegistryError(
                f"{version.uri} is {', '.join(current.aliases)}", field="version", remedy="Run the same command again"
            )
        _record(_entry("deleted", current, model_registry.get_by_alias(version.name, CHAMPION), "pruned"))


def finish_interrupted() -> list[str]:
    """Finish the moves that killed processes have left half-way; return a sentence for each."""
    if not audit.interrupted():
        return []
    with promotion_lock():
        return _finish()


@contextmanager
def _locked() -> Iterator[None]:
    """Hold the promotion lock; before anything else, finish what killed processes have left."""
    with promotion_lock():
        _finish()
        yield


def _finish() -> list[str]:
    said = []
    for logged in audit.interrupted():
        entry = logged.entry
        _apply(entry)
        audit.finish(logged)
        said.append(f"{entry.model} version {entry.version}: finished a move that was interrupted ({entry.action})")
    return said


def _record(entry: Entry) -> None:
    """Log a move and make it. An account that may not write to the model fails before it is logged."""
    model_registry.set_tags(model_registry.get_version(entry.model, entry.version), {"moved_by": entry.actor})
    logged = audit.begin(entry)
    _apply(logged.entry)
    audit.finish(logged)


def _entry(
    action: audit.Action,
    version: ModelVersion,
    champion: ModelVersion | None,
    why: str,
    *,
    gates: str = "",
    override: bool = False,
) -> Entry:
    return Entry(
        action=action,
        model=version.name,
        version=version.version,
        previous=champion.version if champion else None,
        why=why[:LONGEST_REASON],
        gates=gates or version.tags.get("gate", "not evaluated"),
        override=override,
    )


def _apply(entry: Entry) -> None:
    """Set aliases and tags as an entry says; doing it twice changes nothing.

    The alias of the previous champion moves first, so that readers always find a champion.
    """
    from mlflow.exceptions import MlflowException

    server = model_registry.client()
    if entry.action == "deleted":
        with suppress(MlflowException):  # it is deleted already
            server.delete_model_version(entry.model, entry.version)
        return
    version = model_registry.get_version(entry.model, entry.version)
    if entry.action != "rejected":
        if entry.previous and entry.previous != entry.version:
            server.set_registered_model_alias(entry.model, PREVIOUS, entry.previous)
        server.set_registered_model_alias(entry.model, CHAMPION, entry.version)
    if CHALLENGER in version.aliases:
        with suppress(MlflowException):
            server.delete_registered_model_alias(entry.model, CHALLENGER)
    how = entry.action
    model_registry.set_tags(version, {f"{how}_by": entry.actor, f"{how}_at": entry.at, f"{how}_why": entry.why})
    if entry.action == "rejected":
        model_registry.set_tags(version, {"gate": "rejected"})
        return
    if entry.override:
        model_registry.set_tags(version, {"override": entry.why})
    if entry.previous and entry.previous != entry.version:
        model_registry.set_tags(version, {"replaced": entry.previous})
        replaced = model_registry.get_version(entry.model, entry.previous)
        model_registry.set_tags(replaced, {"replaced_by": entry.version, "replaced_at": entry.at})


def _evidence(verdict: Verdict, summary: str) -> dict[str, str]:
    """Return the verdict as tags: outcome, reasons, each gate, and the champion that was compared with."""
    outcomes = {
        f"gate.{gate.name}": f"{'turned off' if gate.waived else 'passed' if gate.passed else 'failed'}: {gate.detail}"
        for gate in verdict.gates
    }
    return {"gate": verdict.outcome, "gate_detail": summary, COMPARED_WITH: verdict.champion or "none", **outcomes}


def _objection(candidate: ModelVersion, champion: ModelVersion | None) -> str:
    """Return why a version must not be promoted without an override; "" if it may be."""
    outcome, named = candidate.tags.get("gate", "not evaluated"), f"{candidate.name} version {candidate.version}"
    if outcome not in OUTCOMES:
        return f"the gates of {named} did not pass: {outcome}"
    compared, current = candidate.tags.get(COMPARED_WITH), champion.version if champion else "none"
    if compared != current:
        return f"the gates of {named} compared with {_named(compared)}, but the champion is {_named(current)}"
    return ""


def _require_current(name: str, compared: str | None, current: str | None) -> None:
    if current != compared:
        raise RegistryError(
            f"the champion of {name} is {_named(current)}, but the gates compared with {_named(compared)}",
            field="champion",
            remedy="Run the same command again: it compares with the current champion",
        )


def _was_champion(version: ModelVersion) -> bool:
    return PREVIOUS in version.aliases or bool({"promoted_at", "restored_at"} & set(version.tags))


def _named(version: str | None) -> str:
    return f"version {version}" if version and version != "none" else "none"
