"""Run a pipeline on this machine: ``python -m pipelines.local REQUEST.json``.

`labram run` starts it in a new process, because KFP's local runner prints a lot and patches `print`.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from kfp import components, local

from labram.errors import LabramError
from labram.events import emit
from labram.platform.workspace import CORPUS_PLACEHOLDER, Workspace
from labram.recipe import Recipe
from pipelines.compile import compile_pipeline
from pipelines.containers import in_containers
from pipelines.launcher import through_bucket

SECONDS_BETWEEN_LOOKS = 1.0


def run(folder: Path, workspace: str, pipeline: str, recipe: str, *, containers: bool = False, **given: Any) -> None:
    """Compile a pipeline and run that file: what runs here is what a cluster would get.

    Finished tasks of earlier runs are taken from the cache. The corpus folder is that of the environment variable
    ``LABRAM_CORPUS``.

    Args:
        folder: For the compiled pipeline.
        workspace: Folder for everything else that is written.
        pipeline: One of `labram.steps.catalogue.PIPELINES`.
        recipe: The resolved recipe as JSON.
        containers: Each task is a container, not a subprocess.
        **given: Other arguments of the pipeline; with `force`, every task runs, changed or not.

    Raises:
        RuntimeError: If a task failed. What failed and why is in the events file.
    """
    root = Workspace.at(workspace).pipeline
    root.mkdir(parents=True, exist_ok=True)
    runner = in_containers(Workspace.at(workspace)) if containers else local.SubprocessRunner(use_venv=False)
    path = compile_pipeline(
        pipeline, Recipe.from_json(recipe), folder, data=CORPUS_PLACEHOLDER, workspace=workspace, **given
    )
    compiled = components.load_component_from_file(str(path))
    forget_retries(compiled)
    through_bucket(compiled, root)
    local.init(runner=runner, pipeline_root=str(root), enable_caching=not given["force"], raise_on_error=True)
    compiled()


def forget_retries(pipeline: Any) -> None:
    """Take the retry policies out of a pipeline: on one machine the same failure would come back, slowly."""
    graph = pipeline.component_spec.implementation.graph
    for dag in (graph.root.dag, *(component.dag for component in graph.components.values())):
        for task in dag.tasks.values():
            task.ClearField("retry_policy")


def _end_with(parent: int) -> None:
    """End this process and its tasks when `parent` is gone, however it went: nobody would see or stop them."""
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os.killpg(os.getpgid(0), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    request = Path(sys.argv[1])
    try:
        run(request.parent, **json.loads(request.read_text()))
    except LabramError as error:  # before any step could speak
        emit("failed", step="start", kind=type(error).__name__, text=str(error))
        sys.exit(1)
