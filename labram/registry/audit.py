"""Audit log of promotions: one line per move of an alias, in order, on the tracking server.

Each entry is a run of the experiment `EXPERIMENT`, so that it outlives models, versions and pods, and needs no other
service. It is written before the aliases move and finished after: an entry that is unfinished while no process holds
the promotion lock is a move that was interrupted, and states how to finish it. Every entry has the digest of the one
before, so that a missing or edited entry is noticed.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from labram.frozen_model import FrozenModel
from labram.registry import model_registry
from labram.tracking import lineage, mlflow_runs

if TYPE_CHECKING:
    from mlflow.entities import Run

EXPERIMENT = "labram-audit"
Action = Literal["promoted", "restored", "rejected", "deleted"]
_ENTRY, _DIGEST = "entry", "digest"
LONGEST_REASON = 2000
"""Characters; a tag of MLflow holds 5000."""


class Entry(FrozenModel):
    """One move of aliases.

    Attributes:
        number: Position in the log, from 1.
        at: Time, ISO 8601, UTC.
        action: *promoted* and *restored* (by a rollback) move the alias champion; *rejected* removes challenger;
            *deleted* is a version that was pruned.
        model: Registered name.
        version: The version that moved.
        previous: The champion's version before; None if there was none.
        actor: Who moved it.
        why: Reason.
        gates: Outcome of the version's gates at that time.
        override: Whether it was promoted against its gates.
        before: Digest of the entry before; "" for the first one.
    """

    number: int = 0
    at: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    action: Action
    model: str
    version: str
    previous: str | None
    actor: str = Field(default_factory=lineage.actor)
    why: str = Field(default="", max_length=LONGEST_REASON)
    gates: str = "not evaluated"
    override: bool = False
    before: str = ""

    def chain_digest(self) -> str:
        """Return the first 16 hex digits of the SHA-256 of the entry, which includes the digest of the one before."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Logged:
    """An entry in the log.

    Attributes:
        entry: The entry.
        run_id: Its MLflow run.
        finished: Whether its aliases have moved.
        digest: The digest that was logged with it.
    """

    entry: Entry
    run_id: str
    finished: bool
    digest: str


def begin(entry: Entry) -> Logged:
    """Append an entry, unfinished. The caller holds the promotion lock.

    Returns:
        The entry with its number and the digest of the one before.
    """
    last = max(read(), key=lambda logged: logged.entry.number, default=None)
    number, before = (last.entry.number + 1, last.digest) if last else (1, "")
    numbered = entry.model_copy(update={"number": number, "before": before})
    digest = numbered.chain_digest()
    tags = {_ENTRY: numbered.to_json(), _DIGEST: digest, "model": entry.model, "action": entry.action}
    run = model_registry.client().create_run(
        _experiment(), run_name=f"{number} {entry.model} version {entry.version} {entry.action}", tags=tags
    )
    return Logged(numbered, run.info.run_id, finished=False, digest=digest)


def finish(logged: Logged) -> None:
    """Mark an entry as finished: its aliases have moved."""
    model_registry.client().set_terminated(logged.run_id, "FINISHED")


def read(model: str | None = None) -> list[Logged]:
    """Return the log of one model, or of all, in order."""
    client = model_registry.client()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    found: list[Logged] = []
    token: str | None = None
    while True:
        page = client.search_runs([experiment.experiment_id], page_token=token)
        found += [_logged(run) for run in page if _ENTRY in run.data.tags]
        if not (token := page.token):
            break
    ordered = sorted(found, key=lambda logged: logged.entry.number)
    return [logged for logged in ordered if model in (None, logged.entry.model)]


def interrupted() -> list[Logged]:
    """Return the entries whose aliases may not have moved."""
    return [logged for logged in read() if not logged.finished]


def check() -> list[str]:
    """Return what is wrong with the log, one sentence each: missing, repeated or edited entries."""
    problems, before, expected = [], "", 1
    for logged in read():
        entry = logged.entry
        if entry.number != expected:
            problems.append(f"entry {expected} is missing: the next one is {entry.number}")
        if entry.chain_digest() != logged.digest:
            problems.append(f"entry {entry.number} was edited: its digest is another")
        elif entry.before != before and entry.number == expected:
            problems.append(f"entry {entry.number} does not follow entry {expected - 1}: one of them was replaced")
        before, expected = logged.digest, entry.number + 1
    return problems


def _logged(run: "Run") -> Logged:
    entry = Entry.from_json(run.data.tags[_ENTRY])
    return Logged(entry, run.info.run_id, run.info.status == "FINISHED", run.data.tags.get(_DIGEST, ""))


def _experiment() -> str:
    """Return the id of the log's experiment, which is created, beside labram's, if it does not exist."""
    client = model_registry.client()
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    beside = client.get_experiment(mlflow_runs.experiment_id(client)).artifact_location
    return mlflow_runs.find_or_create_experiment(client, EXPERIMENT, f"{beside}/audit")
