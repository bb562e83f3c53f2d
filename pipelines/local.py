"""Run a pipeline on this machine: ``python -m pipelines.local REQUEST.json``.

`labram run` starts it in a new process, because KFP's local runner prints a lot and patches `print`.
"""

import io
import json
import os
import re
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from kfp import components, local

from labram.cores import WORKERS_VARIABLE, available_cores
from labram.errors import LabramError
from labram.events import emit
from labram.platform.workspace import CORPUS_PLACEHOLDER, Workspace
from labram.printable import printable
from labram.recipe import Recipe
from labram.tracking.mlflow_runs import require_home
from pipelines import task_cache, warm_tasks
from pipelines.compile import compile_pipeline
from pipelines.containers import in_containers
from pipelines.placement import parallelism

SECONDS_BETWEEN_LOOKS = 1.0
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def run(
    folder: Path, workspace: str, pipeline: str, recipe: str, *, containers: bool = False, **arguments: Any
) -> None:
    """Compile a pipeline and run the compiled file, the same that a cluster would get.

    Finished tasks of earlier runs come from KFP's cache, see `pipelines.task_cache`. The environment variable
    ``LABRAM_CORPUS`` names the corpus folder.

    Args:
        folder: Folder for the compiled pipeline.
        workspace: Folder for everything else that is written.
        pipeline: One of `labram.steps.table.PIPELINES`.
        recipe: The resolved recipe as JSON.
        containers: Run each task in a container instead of a subprocess.
        **arguments: Further arguments of the pipeline; with `force`, every task runs, changed or not.

    Raises:
        RuntimeError: If a task failed. The events file has the error.
    """
    root = Workspace.at(workspace).pipeline
    root.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault(WORKERS_VARIABLE, str(max(1, available_cores() // parallelism())))
    runner = in_containers(Workspace.at(workspace)) if containers else local.SubprocessRunner(use_venv=False)
    file = compile_pipeline(
        pipeline, Recipe.from_json(recipe), folder, data=CORPUS_PLACEHOLDER, workspace=workspace, **arguments
    )
    compiled = load_pipeline(file)
    if not containers:
        keep_python3(folder)
        require_home(Path(workspace))  # the process that tasks are forked from imports MLflow
        warm_tasks.use()
    task_cache.use_for(Workspace.at(workspace))
    local.init(runner=runner, pipeline_root=str(root), enable_caching=not arguments["force"], raise_on_error=True)
    compiled()


def keep_python3(folder: Path) -> None:
    """Let KFP leave the text ``python3`` in arguments as it is: in recipes, paths and patterns.

    KFP replaces it, in commands and arguments alike, by `sys.executable`. Here that is ``python3`` itself, and the
    first ``python3`` on ``PATH`` is this interpreter.

    Args:
        folder: Folder for a program of that name, if there is none beside this interpreter.
    """
    own = Path(sys.executable)
    program = own.with_name("python3")
    if not (program.exists() and program.samefile(own)):
        program = folder / "bin" / "python3"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(str(own))} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    os.environ["PATH"] = f"{program.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    sys.executable = program.name


def load_pipeline(file: Path) -> Any:
    """Load a compiled pipeline without its retry policies: on one machine the same failure would only recur."""
    pipeline = components.load_component_from_file(str(file))
    graph = pipeline.component_spec.implementation.graph
    for dag in (graph.root.dag, *(component.dag for component in graph.components.values())):
        for task in dag.tasks.values():
            task.ClearField("retry_policy")
    return pipeline


def _end_with(parent: int) -> None:
    """End this process and its tasks when the process `parent` has ended."""
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os.killpg(os.getpgid(0), signal.SIGTERM)


class PlainText(io.TextIOWrapper):
    """Standard output of the run's log: without colours and, as on the terminal, without control characters."""

    def write(self, text: str) -> int:
        """See `io.TextIOWrapper.write`."""
        super().write(printable(COLOUR.sub("", text)))
        return len(text)


def main() -> None:
    """Run the request whose file is the first argument."""
    for name in ("stdout", "stderr"):
        buffer = getattr(sys, name).buffer
        setattr(sys, name, PlainText(buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True))
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    request = Path(sys.argv[1])
    try:
        run(request.parent, **json.loads(request.read_text(encoding="utf-8")))
    except LabramError as error:  # errors before the first step
        emit("failed", step="start", kind=type(error).__name__, text=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
