"""Checks and repairs of the model registry."""

from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from labram.platform.doctor.finding import Finding, failed, passed, warned
from labram.platform.local_runs import LOCK_FILE
from labram.registry import audit, repair
from labram.tracking import mlflow_runs
from labram.tracking.dead_runs import end_dead_runs


def check_registry(workspace: Path) -> Iterator[Finding]:
    """Find half-way states, finish or clean them, and report what a person must decide."""
    if not mlflow_runs.has_runs(workspace):
        yield failed(
            "registry",
            "this workspace has no runs and no models",
            "Name the original's with --workspace or MLFLOW_TRACKING_URI, or run `labram run` first",
        )
        return
    uri = mlflow_runs.configure(workspace)
    shown = uri if uri.startswith("http") else "the database of the workspace"
    yield passed("registry", f"{shown} answers")
    yield from _fixed("aliases and moves", repair.repair())
    yield from _fixed("running runs", _end_dead_runs(workspace))
    for version in repair.unjudged():
        yield warned(
            f"{version.name} version {version.version}",
            "registered, but its gates were never evaluated",
            "Run the same command again, or reject it: labram models reject",
        )
    if recent := repair.orphans():
        detail = f"{len(recent)} logged models belong to no version, and are younger than {repair.ORPHAN_HOURS:.0f} h"
        yield warned("logged models", detail, "A running step may be registering them; run the doctor again later")
    problems = audit.check()
    for problem in problems:
        yield failed("audit log", problem, "Ask those who may edit the tracking server")
    if not problems:
        yield passed("audit log", f"{len(audit.read())} entries, none missing or edited")


def _fixed(subject: str, sentences: list[str]) -> Iterator[Finding]:
    for sentence in sentences:
        yield passed(subject, f"fixed: {sentence}")
    if not sentences:
        yield passed(subject, "nothing half-way")


def _end_dead_runs(workspace: Path) -> list[str]:
    """End dead runs; in the workspace's own database all of them, unless a pipeline is running there."""
    if not mlflow_runs.in_workspace(workspace):
        return end_dead_runs(alone=False)
    try:
        with FileLock(workspace / LOCK_FILE, timeout=0):
            return end_dead_runs(alone=True)
    except Timeout:
        return end_dead_runs(alone=False)
