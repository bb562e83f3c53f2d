"""Half-way states of the registry, found and finished or cleaned.

A killed process leaves an unfinished move (`labram.registry.audit`), which is finished. Other contradictions come from
earlier releases, or from hands in MLflow: they are resolved in favour of the alias *champion*, which is what is served.
"""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from labram.registry import model_registry
from labram.registry.model_registry import CHALLENGER, CHAMPION, PREVIOUS, ModelVersion
from labram.registry.promotion import apply_approvals, finish_interrupted
from labram.registry.promotion_lock import promotion_lock
from labram.tracking import run_list
from labram.tracking.mlflow_runs import experiment_id

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel

ORPHAN_HOURS = 24.0
"""Age from which a logged model without a version is no longer one that a running step is about to register."""
_MADE = "promoted_at", "restored_at"


def repair() -> list[str]:
    """Finish and clean everything that can be; return a sentence for each fix."""
    return [*finish_interrupted(), *repair_aliases(), *apply_approvals(), *delete_orphans()]


def repair_aliases() -> list[str]:
    """Resolve aliases that contradict one another, and tag a champion that has no tags of its promotion."""
    if not any(_contradictions(versions) for versions in _by_model().values()):
        return []
    with promotion_lock():
        return [sentence for versions in _by_model().values() for sentence in _resolve(versions)]


def unjudged() -> list[ModelVersion]:
    """Return the versions whose run ended before their gates were evaluated."""
    running = open_runs()
    return [
        version
        for version in model_registry.list_versions()
        if "gate" not in version.tags and CHAMPION not in version.aliases and version.run_id not in running
    ]


def delete_orphans() -> list[str]:
    """Delete logged models that no version names and that are older than `ORPHAN_HOURS`; return a sentence for each."""
    client, said = model_registry.client(), []
    for model in orphans():
        if (time.time() - model.creation_timestamp / 1000) / 3600 > ORPHAN_HOURS:
            client.delete_logged_model(model.model_id)
            said.append(f"logged model {model.name} ({model.model_id}) belonged to no version: deleted")
    return said


def orphans() -> "list[LoggedModel]":
    """Return the logged models of labram's experiment that no version names."""
    client = model_registry.client()
    entries = client.search_model_versions("", max_results=10_000)
    named = {entry.model_id for entry in entries} | {(entry.source or "").rpartition("/")[2] for entry in entries}
    found: list[LoggedModel] = []
    token: str | None = None
    while True:
        page = client.search_logged_models([experiment_id(client)], page_token=token)
        found += [model for model in page if model.model_id not in named]
        if not (token := page.token):
            return found


def _by_model() -> dict[str, list[ModelVersion]]:
    models: dict[str, list[ModelVersion]] = {}
    for version in model_registry.list_versions():
        models.setdefault(version.name, []).append(version)
    return models


def _contradictions(versions: list[ModelVersion]) -> list[str]:
    champion = next((version for version in versions if CHAMPION in version.aliases), None)
    if champion is None:
        return []
    found = [alias for alias in (PREVIOUS, CHALLENGER) if alias in champion.aliases]
    return found + ([] if any(tag in champion.tags for tag in _MADE) else ["tags"])


def _resolve(versions: list[ModelVersion]) -> Iterator[str]:
    client = model_registry.client()
    champion = next((version for version in versions if CHAMPION in version.aliases), None)
    for fault in _contradictions(versions):
        assert champion is not None
        where = f"{champion.name}: version {champion.version} is champion and"
        if fault == "tags":
            tags = {"promoted_by": "unknown", "promoted_at": "unknown", "promoted_why": "found as champion"}
            model_registry.set_tags(champion, tags)
            yield f"{where} had no tags of its promotion: they say so now"
            continue
        client.delete_registered_model_alias(champion.name, fault)
        before = champion.tags.get("replaced", "") if fault == PREVIOUS else ""
        if before not in {"", champion.version} and before in {version.version for version in versions}:
            client.set_registered_model_alias(champion.name, PREVIOUS, before)
            yield f"{where} was {fault} too: that is version {before} now, which it had replaced"
        else:
            yield f"{where} was {fault} too: it is not any more"


def reproduced_runs() -> set[str]:
    """Return the ids of the runs that a running reproduction compares itself with."""
    runs = run_list.list_runs()
    wanted = {run.tags.get(run_list.REPRODUCES_TAG, "") for run in runs if run.status == "RUNNING"}
    return {run.run_id for run in runs if run.name in wanted}


def open_runs() -> set[str]:
    """Return the ids of the runs of labram's experiment that are running."""
    client = model_registry.client()
    return {run.info.run_id for run in client.search_runs([experiment_id(client)], "attributes.status = 'RUNNING'")}
