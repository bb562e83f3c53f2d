"""Run a pipeline on this machine: ``python -m pipelines.local REQUEST.json``.

`labram run` starts it as a process of its own, because KFP's local runner prints much and patches `print`.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from kfp import local

from labram.operations.workspace import CORPUS, Workspace
from labram.recipe import Recipe
from pipelines.launcher import through_bucket
from pipelines.retrain import arguments, retrain

SECONDS_BETWEEN_LOOKS = 1.0


def run(workspace: str, recipe: str, *, force: bool) -> None:
    """Run `retrain` with subprocesses for tasks; finished tasks of earlier runs are taken from the cache.

    The corpus folder is that of the environment variable ``LABRAM_CORPUS``.

    Args:
        workspace: Folder for everything that is written.
        recipe: The resolved recipe as JSON.
        force: Run every task, changed or not.

    Raises:
        RuntimeError: If a task failed. What failed and why is in the events file.
    """
    root = Workspace.at(workspace).pipeline
    root.mkdir(parents=True, exist_ok=True)
    runner = local.SubprocessRunner(use_venv=False)
    forget_retries(retrain)
    through_bucket(retrain, root)
    local.init(runner=runner, pipeline_root=str(root), enable_caching=not force, raise_on_error=True)
    retrain(**arguments(Recipe.from_json(recipe), data=CORPUS, workspace=workspace, force=force))


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
    run(**json.loads(Path(sys.argv[1]).read_text()))
