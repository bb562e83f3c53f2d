"""Pipeline runs on this machine: run folders, processes, and resuming.

A run folder has `recipe.yaml`, `request.json` (the arguments), `identity` (a keyed hash of request, corpus folder and
code), `events.jsonl`, `pipeline.log`, and at the end `report.html` and `result.json`. A folder without a result
is an interrupted run, which the same command resumes. No file has the path of the corpus: the pipeline's process gets
it from an environment variable.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from labram.child_process import OUTPUT_ENCODING
from labram.corpus.pseudonyms import load_key, pseudonym
from labram.errors import PlatformError
from labram.logs import CORPUS_VARIABLE
from labram.platform import run_result
from labram.platform.workspace import Workspace
from labram.recipe import RUN_FILE, Recipe
from labram.scratch_folder import shared_folder
from labram.tracking.lineage import code_version, image_tag

REQUEST, RESULT, IDENTITY = "request.json", "result.json", "identity"
EVENTS, LOG = "events.jsonl", "pipeline.log"
LOCK_FILE = "run.lock"
RUNNER_MODULE = "pipelines.local"
POLL_SECONDS = 0.1
SECONDS_TO_STOP = 20


@dataclass(frozen=True)
class LocalRun:
    """Pipeline run on this machine."""

    name: str
    folder: Path
    resumed: bool

    @property
    def result(self) -> dict[str, Any] | None:
        """Contents of `result.json`, or None if the run has not finished."""
        path = self.folder / RESULT
        return run_result.read_result(path) if path.exists() else None


def create_or_resume(workspace: Workspace, pipeline: str, recipe: Recipe, data: Path, **arguments: object) -> LocalRun:
    """Create the folder of a new run, or return an interrupted run with the same request and code.

    Args:
        workspace: The workspace.
        pipeline: Name of the pipeline.
        recipe: The resolved recipe.
        data: Folder of the corpus.
        **arguments: Other arguments of the pipeline, such as `force`.
    """
    request = {"workspace": str(workspace.root), "pipeline": pipeline, "recipe": recipe.to_json(), **arguments}
    text = json.dumps(request, sort_keys=True, indent=1)
    identity = pseudonym(load_key(workspace.root), code_version(), str(data), text)
    for folder in sorted(workspace.run("").glob("*"), reverse=True):
        marker = folder / IDENTITY
        if _text(marker) == identity and not (folder / RESULT).exists():
            return LocalRun(folder.name, folder, resumed=True)
    name = f"{recipe.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder = workspace.run(name)
    folder.mkdir(parents=True)
    recipe.write(folder / RUN_FILE)
    (folder / REQUEST).write_text(text, encoding="utf-8")
    (folder / IDENTITY).write_text(identity, encoding="utf-8")
    return LocalRun(name, folder, resumed=False)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


def start(run: LocalRun, data: Path, scratch: Path) -> "subprocess.Popen[bytes]":
    """Start the pipeline in a new process group. Its output is appended to the run's log.

    Args:
        run: The run.
        data: The corpus folder.
        scratch: Folder for temporary files of all its processes. Compiled kernels are kept where other runs find them.
    """
    kernels = shared_folder() / f"torchinductor_{os.getuid()}"
    environment = {
        "TORCHINDUCTOR_CACHE_DIR": str(kernels),
        **os.environ,
        **OUTPUT_ENCODING,
        "LABRAM_RUN": run.name,
        CORPUS_VARIABLE: str(data),
        "LABRAM_EVENTS": str((run.folder / EVENTS).absolute()),
        "LABRAM_IMAGE": f"localhost/labram-python:{image_tag()}",
        "TMPDIR": str(scratch),
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",  # modules in the current folder must not shadow installed ones
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    (run.folder / EVENTS).touch()
    with (run.folder / LOG).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", RUNNER_MODULE, str((run.folder / REQUEST).absolute())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def follow(run: LocalRun, process: "subprocess.Popen[bytes]") -> Iterator[dict[str, object]]:
    """Yield the run's events until the pipeline's process has ended."""
    with (run.folder / EVENTS).open(encoding="utf-8") as file:
        if run.resumed:
            file.seek(0, os.SEEK_END)
        while process.poll() is None:
            yield from new_events(file)
            time.sleep(POLL_SECONDS)
        yield from new_events(file)


def new_events(file: IO[str]) -> Iterator[dict[str, object]]:
    """Yield the events of the whole lines from the place of a file; what a full disk cut short is none."""
    while True:
        position = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(position)
            return
        with suppress(ValueError):  # cut short by a full disk
            event = json.loads(line)
            if isinstance(event, dict) and "event" in event:
                yield event


@contextmanager
def lock_workspace(workspace: Workspace) -> Iterator[None]:
    """Lock the workspace: concurrent pipelines would write the same checkpoints.

    Raises:
        PlatformError: If another `labram run` holds the lock.
    """
    from filelock import FileLock, Timeout

    workspace.create()
    lock = FileLock(workspace.root / LOCK_FILE, timeout=1)
    try:
        with lock:
            yield
    except Timeout as error:
        raise PlatformError(
            "another run uses this workspace",
            field="--workspace",
            remedy="Wait for it, stop it, or choose another workspace",
        ) from error


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Stop the pipeline and its tasks: SIGTERM, so that training writes a checkpoint, then SIGKILL."""
    deadline = time.monotonic() + SECONDS_TO_STOP
    try:
        os.killpg(process.pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            process.poll()  # an unreaped leader would count as alive
            os.killpg(process.pid, 0)
            time.sleep(POLL_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def delete_run(run: LocalRun) -> None:
    """Delete the folder of an unchanged run."""
    shutil.rmtree(run.folder, ignore_errors=True)


def read_result(workspace: Workspace, name: str) -> dict[str, Any]:
    """Return the result of a finished run.

    Raises:
        PlatformError: If the run has no result in this workspace.
    """
    result = LocalRun(name, workspace.run(name), resumed=False).result
    if result is None:
        raise PlatformError(
            f"run {name!r} has no result in this workspace", field="--workspace", remedy="Run again with --force"
        )
    return result


def log_tail(run: LocalRun, count: int = 15) -> str:
    """Return the last lines of the run's log, for failures that no event reports."""
    lines = (run.folder / LOG).read_text(errors="replace", encoding="utf-8").splitlines()
    return "\n".join(lines[-count:])
