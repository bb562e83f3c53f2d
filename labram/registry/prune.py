"""Deletion of versions that nothing needs any more."""

from dataclasses import dataclass

from labram.registry import model_registry, promotion, provenance, repair
from labram.registry.model_registry import CHALLENGER, CHAMPION, PREVIOUS, ModelVersion
from labram.registry.promotion import APPROVAL, REQUIRED

KEEP_TAG = "keep"
"""A version with this tag is kept; its value is the reason."""
NEWEST = 3


@dataclass(frozen=True)
class Plan:
    """What pruning does.

    Attributes:
        kept: Reason for which each version is kept, by URI.
        deleted: Versions to delete.
    """

    kept: dict[str, str]
    deleted: tuple[ModelVersion, ...]


def plan(newest: int = NEWEST) -> Plan:
    """Return the versions to delete: those without a reason to keep them.

    Kept are versions with an alias, that await approval, of a run that is running or being reproduced, with the tag
    `keep`, the `newest` ones of each model, and everything that a kept version was made from.

    Args:
        newest: Number of versions of each model to keep in any case.
    """
    versions = model_registry.list_versions()
    open_runs, kept, seen = repair.open_runs(), {}, dict.fromkeys((version.name for version in versions), 0)
    originals = repair.reproduced_runs()
    for version in versions:
        seen[version.name] += 1
        if reason := _reason(version, open_runs, newest=seen[version.name] <= newest):
            kept[version.uri] = reason
        elif version.run_id in originals:
            kept[version.uri] = "its run is being reproduced"
    for uri in list(kept):
        found = provenance.trace(next(version for version in versions if version.uri == uri))
        for node in _sources(found, uri):
            kept.setdefault(node, f"{uri.removeprefix('models:/')} was made from it")
    return Plan(kept, tuple(version for version in versions if version.uri not in kept))


def apply(found: Plan) -> None:
    """Delete the versions of a plan, each with an entry of the audit log."""
    for version in found.deleted:
        promotion.delete(version)


def _reason(version: ModelVersion, open_runs: set[str], *, newest: bool) -> str:
    for alias in (CHAMPION, PREVIOUS, CHALLENGER):
        if alias in version.aliases:
            return alias
    if version.aliases:
        return f"alias {', '.join(version.aliases)}"
    if version.tags.get(APPROVAL) == REQUIRED:
        return "awaits approval"
    if version.run_id in open_runs:
        return "its run is running"
    if KEEP_TAG in version.tags:
        return f"tag {KEEP_TAG}: {version.tags[KEEP_TAG]}"
    return "one of the newest" if newest else ""


def _sources(found: provenance.Provenance, uri: str) -> list[str]:
    direct = [node.key for node in found.sources(uri) if node.version]
    return direct + [key for source in direct for key in _sources(found, source)]
