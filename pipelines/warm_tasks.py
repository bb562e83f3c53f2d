"""Tasks of a local run as forks of one process that has imported their libraries.

KFP's local runner starts a new Python process for each task. It imports KFP, MLflow, PyTorch and scikit-learn before it
does anything, which takes longer than most steps. Here one process imports them, and each task is a fork of it. On a
cluster every task is a separate pod.
"""

import atexit
import multiprocessing
import os
import random
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import spawn
from multiprocessing.reduction import DupFd
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from kfp.local import subprocess_task_handler

COLD = ("preflight", "plan_run")
"""Steps that run in a process of their own: an unchanged run has no others, and they need few libraries."""
PRELOAD = ("pipelines.warm_libraries",)
"""Modules that the process imports before its first fork."""
EXECUTOR = "kfp.dsl.executor_main"
INTERPRETER = sys.executable
"""This interpreter: `pipelines.local` later changes `sys.executable` for KFP."""
_start_process = subprocess_task_handler.run_local_subprocess


def use() -> None:
    """Let KFP's local runner, in this process, fork its tasks."""
    spawn.set_executable(INTERPRETER)
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(PRELOAD))
    subprocess_task_handler.run_local_subprocess = run_task


def run_task(full_command: Sequence[str], env_vars: Mapping[str, str] | None = None) -> int:
    """Run a task, print its output line by line, and return its exit code.

    Args:
        full_command: KFP's command: a shell, its options, a script that runs the executor, the program, and arguments.
        env_vars: Environment variables of the task.
    """
    _, _, script, program, *arguments = full_command
    if EXECUTOR not in script or arguments[-1] in COLD:
        return int(_start_process(list(full_command), dict(env_vars or {})))
    reader, writer = os.pipe()
    task = multiprocessing.get_context("forkserver").Process(
        target=_execute, args=(DupFd(writer), program, arguments, dict(env_vars or {}))
    )
    try:
        task.start()
    except OSError:  # the fork server has no socket, such as in a temporary folder with a long path
        os.close(reader)
        return int(_start_process(list(full_command), dict(env_vars or {})))
    finally:
        os.close(writer)
    with os.fdopen(reader, encoding="utf-8", errors="backslashreplace") as output:
        for line in output:
            sys.stdout.write(line)
    task.join()
    return int(task.exitcode or 0)


def _execute(output: Any, program: str, arguments: Sequence[str], variables: Mapping[str, str]) -> None:
    """Be a task: what KFP's command does in a shell, in this fork."""
    from kfp.dsl import executor_main

    descriptor = output.detach()
    for standard, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(descriptor, standard)
        setattr(sys, name, os.fdopen(standard, "w", buffering=1, encoding="utf-8", closefd=False))
    os.close(descriptor)
    os.environ.update(variables)
    random.seed()
    np.random.seed()  # noqa: NPY002  forks would all have the global generator in one state
    try:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "ephemeral_component.py"
            file.write_text(program, encoding="utf-8")
            sys.argv = [str(executor_main.__file__), "--component_module_path", str(file), *arguments]
            executor_main.executor_main()
    finally:
        atexit._run_exitfuncs()  # a fork of this kind ends without them
