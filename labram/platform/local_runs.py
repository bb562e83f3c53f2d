"""Pipeline runs on this machine: their folders, their processes, and going on after a kill.

A run's folder holds `recipe.yaml`, `request.json` (what was asked for), `identity` (a keyed hash of it, of the corpus
folder and of the code), `events.jsonl`, `pipeline.log`, and at the end `report.html` and `result.json`. A folder
without a result is a run that was killed; the same command goes on in it. Where the corpus is stands in none of them:
the pipeline's process has it from its environment.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import yaml

from labram.corpus.pseudonyms import load_key, pseudonym
from labram.errors import PlatformError
from labram.logs import CORPUS_VARIABLE
from labram.platform.workspace import Workspace
from labram.recipe import Recipe
from labram.tracking.lineage import code_version, commit

REQUEST, RESULT, IDENTITY = "request.json", "result.json", "identity"
EVENTS, LOG = "events.jsonl", "pipeline.log"
SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_TO_STOP = 20


@dataclass(frozen=True)
class LocalRun:
    """One pipeline run on this machine."""

    name: str
    folder: Path
    resumed: bool

    @property
    def result(self) -> dict[str, Any] | None:
        """What the last step wrote, or None while the run is not finished."""
        path = self.folder / RESULT
        return json.loads(path.read_text()) if path.exists() else None


def create_or_resume(workspace: Workspace, pipeline: str, recipe: Recipe, data: Path, **given: object) -> LocalRun:
    """The folder of a new run, or of the killed one with the same request and code.

    Args:
        workspace: The workspace.
        pipeline: Name of the pipeline.
        recipe: The resolved recipe.
        data: Folder of the corpus.
        **given: Other arguments of the pipeline, such as `force`.
    """
    request = {"workspace": str(workspace.root), "pipeline": pipeline, "recipe": recipe.to_json(), **given}
    text = json.dumps(request, sort_keys=True, indent=1)
    identity = pseudonym(load_key(workspace.root), code_version(), str(data), text)
    for folder in sorted(workspace.run("").glob("*"), reverse=True):
        marker = folder / IDENTITY
        if marker.exists() and marker.read_text() == identity and not (folder / RESULT).exists():
            return LocalRun(folder.name, folder, resumed=True)
    name = f"{recipe.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder = workspace.run(name)
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
    (folder / REQUEST).write_text(text)
    (folder / IDENTITY).write_text(identity)
    return LocalRun(name, folder, resumed=False)


def start(run: LocalRun, data: Path) -> "subprocess.Popen[bytes]":
    """Start the pipeline on a corpus folder, as a process group of its own; its output goes to the run's log."""
    environment = {
        **os.environ,
        "LABRAM_RUN": run.name,
        CORPUS_VARIABLE: str(data),
        "LABRAM_EVENTS": str((run.folder / EVENTS).absolute()),
        "LABRAM_IMAGE": f"localhost/labram-python:{commit()[:12] or 'source'}-{code_version()}",
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",  # no module of the current folder stands in for one of ours
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    (run.folder / EVENTS).touch()
    with (run.folder / LOG).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "pipelines.local", str((run.folder / REQUEST).absolute())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def follow(run: LocalRun, process: "subprocess.Popen[bytes]") -> Iterator[dict[str, object]]:
    """Yield the run's events as they come, until the pipeline's process has ended."""
    with (run.folder / EVENTS).open() as file:
        if run.resumed:
            file.seek(0, os.SEEK_END)
        while process.poll() is None:
            yield from _new_lines(file)
            time.sleep(SECONDS_BETWEEN_LOOKS)
        yield from _new_lines(file)


def _new_lines(file: IO[str]) -> Iterator[dict[str, object]]:
    while True:
        place = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(place)
            return
        yield json.loads(line)


@contextmanager
def lock_workspace(workspace: Workspace) -> Iterator[None]:
    """Hold the workspace: two pipelines at once would write the same checkpoints.

    Raises:
        PlatformError: If another `labram run` holds it.
    """
    from filelock import FileLock, Timeout

    workspace.create()
    lock = FileLock(workspace.root / "run.lock", timeout=1)
    try:
        with lock:
            yield
    except Timeout as error:
        raise PlatformError(
            "another run is going on in this workspace",
            field="--workspace",
            remedy="Wait for it, stop it, or give this one a workspace of its own",
        ) from error


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End the pipeline and its tasks: first asked, so that training can checkpoint, then forced."""
    deadline = time.monotonic() + SECONDS_TO_STOP
    try:
        os.killpg(process.pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            process.poll()  # a leader that nobody has waited for would count as alive
            os.killpg(process.pid, 0)
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def delete_run(run: LocalRun) -> None:
    """Remove the folder of a run that found nothing to do."""
    shutil.rmtree(run.folder, ignore_errors=True)


def read_result(workspace: Workspace, name: str) -> dict[str, Any]:
    """The result of a finished run of this workspace.

    Raises:
        PlatformError: If there is none.
    """
    found = LocalRun(name, workspace.run(name), resumed=False).result
    if found is None:
        raise PlatformError(
            f"run {name!r} has no result in this workspace", field="--workspace", remedy="Run again with --force"
        )
    return found


def log_tail(run: LocalRun, count: int = 15) -> str:
    """The end of the run's log, for failures that no step could announce."""
    lines = (run.folder / LOG).read_text(errors="replace").splitlines()
    return "\n".join(lines[-count:])
