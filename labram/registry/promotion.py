"""Moving the champion: forward after passed gates, and back.

MLflow's aliases have no compare-and-set. So every move happens under a file lock next to the tracking database, and
states which champion it expects: a verdict that was reached against another champion is refused, not applied.
"""

import getpass
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from labram.errors import PlatformError, RegistryError
from labram.frozen_model import FrozenModel
from labram.registry import model_registry
from labram.registry.gates import Verdict
from labram.registry.model_registry import CHALLENGER, CHAMPION, PREVIOUS, ModelVersion

SECONDS_TO_WAIT = 120


class Move(FrozenModel):
    """What happened to a model's champion.

    Attributes:
        model: Registered name.
        version: The champion now; None where there still is none.
        previous: The champion before.
        moved: Whether the alias moved.
        why: In words.
    """

    model: str
    version: str | None
    previous: str | None
    moved: bool
    why: str


def promote(verdict: Verdict, *, why: str) -> Move:
    """Make the challenger champion if all its gates passed; the verdict is kept as tags either way.

    Args:
        verdict: Gates of the challenger and the champion that they compared it with.
        why: Kept with the version, such as the name of the pipeline run.

    Raises:
        RegistryError: If the version does not exist, or the champion has changed since the verdict.
    """
    with _locked():
        candidate = model_registry.get_version(verdict.model, verdict.version)
        champion = model_registry.get_by_alias(verdict.model, CHAMPION)
        current = champion.version if champion else None
        summary = "; ".join(f"{gate.name}: {gate.detail}" for gate in verdict.failed_gates or verdict.gates)
        model_registry.set_tags(candidate, {"gate": "passed" if verdict.passed else "refused", "gate_detail": summary})
        if not verdict.passed:
            return Move(model=verdict.model, version=current, previous=current, moved=False, why=summary)
        if current == candidate.version:
            return Move(model=verdict.model, version=current, previous=current, moved=False, why="it is the champion")
        if current != verdict.champion:
            raise RegistryError(
                f"the champion of {verdict.model} is {_named(current)}, but the gates compared with "
                f"{_named(verdict.champion)}",
                field="champion",
                remedy="Run the gates again",
            )
        _move(candidate, champion, why=why, how="promoted")
    return Move(model=verdict.model, version=candidate.version, previous=current, moved=True, why=summary)


def rollback(name: str, *, why: str = "") -> str:
    """Make the previous champion champion again, and the present one the previous; gives a sentence about it.

    Raises:
        RegistryError: If the model has no previous champion.
    """
    with _locked():
        champion = model_registry.get_by_alias(name, CHAMPION)
        previous = model_registry.get_by_alias(name, PREVIOUS)
        if previous is None:
            have = ", ".join(one.version for one in model_registry.list_versions(name)) or "none"
            raise RegistryError(
                f"{name} has no previous champion", field="model", remedy=f"Versions that it has: {have}"
            )
        _move(previous, champion, why=why or "rolled back", how="restored")
        if champion:
            model_registry.set_tags(champion, {"gate": "rolled back"})
    return f"{name}: champion is version {previous.version} again; before it was {_named(_number(champion))}."


def _move(to: ModelVersion, champion: ModelVersion | None, *, why: str, how: str) -> None:
    """The previous champion first: a reader in between finds two names for one version, never none."""
    server, who = model_registry.client(), _who()
    if champion:
        server.set_registered_model_alias(to.name, PREVIOUS, champion.version)
    server.set_registered_model_alias(to.name, CHAMPION, to.version)
    if CHALLENGER in to.aliases:
        server.delete_registered_model_alias(to.name, CHALLENGER)
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    model_registry.set_tags(to, {f"{how}_by": who, f"{how}_at": moment, f"{how}_why": why})
    if champion:
        model_registry.set_tags(to, {"replaced": champion.version})
        model_registry.set_tags(champion, {"replaced_by": to.version, "replaced_at": moment})


def _number(version: ModelVersion | None) -> str | None:
    return version.version if version else None


def _named(version: str | None) -> str:
    return f"version {version}" if version else "none"


def _who() -> str:
    """Who moves the alias: ``LABRAM_ACTOR`` where a pipeline sets it, else the user, who need not have a name."""
    try:
        return os.environ.get("LABRAM_ACTOR") or getpass.getuser()
    except (OSError, KeyError):
        return f"uid-{os.getuid()}"


@contextmanager
def _locked() -> Iterator[None]:
    """One move at a time against one tracking server, from this machine or its shared workspace."""
    import mlflow
    from filelock import FileLock, Timeout

    uri = mlflow.get_tracking_uri()
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///")).with_name("promotion.lock")
    else:
        path = Path(tempfile.gettempdir()) / f"labram-promotion-{hashlib.sha256(uri.encode()).hexdigest()[:12]}.lock"
    try:
        with FileLock(path, timeout=SECONDS_TO_WAIT):
            yield
    except Timeout as error:
        raise PlatformError(
            f"another promotion has been under way for {SECONDS_TO_WAIT} s",
            file=path.name,
            remedy="Wait for it, or delete the lock file if no other process is running",
        ) from error
