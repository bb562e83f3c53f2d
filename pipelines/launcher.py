"""What KFP's launcher does in a pod, for tasks of `kfp.local`: artefacts come from a bucket and go there.

KFP's local runner keeps artefacts in a folder only. With `LABRAM_PIPELINE_ROOT` set to ``s3://bucket/prefix``, each
task is started by this module instead: it brings the task's inputs into a folder of its own, runs it there, sends the
outputs to the bucket and removes the folder, as a pod's file system is gone with the pod. Between tasks, and in KFP's
cache, there are addresses of objects alone.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from labram.errors import LabramError, StoreError
from labram.events import emit
from labram.store.s3 import Bucket

ROOT_VARIABLE = "LABRAM_PIPELINE_ROOT"
_REQUEST = "--executor_input"


def through_bucket(pipeline: Any, local: Path) -> None:
    """Let a pipeline keep its artefacts where `LABRAM_PIPELINE_ROOT` says; without it, nothing changes.

    Args:
        pipeline: A `dsl.pipeline`.
        local: KFP's local pipeline root, below which it would have put them.
    """
    root = os.environ.get(ROOT_VARIABLE, "").rstrip("/")
    if not root:
        return
    launcher = ["python3", "-m", "pipelines.launcher", root, str(local)]
    executors = pipeline.component_spec.implementation.graph.deployment_spec["executors"]
    for name in executors:
        container = executors[name]["container"]
        container["command"] = [*launcher, *container["command"]]


def launch(root: str, local: Path, command: list[str]) -> int:
    """Run a task's command with its artefacts in a folder of its own; gives its exit code.

    Args:
        root: Address that artefacts are kept below.
        local: Folder below which KFP's local runner names them.
        command: With the task's request behind ``--executor_input``.

    Raises:
        StoreError: If an input is not in the bucket, or the bucket does not answer.
    """
    place, bucket = command.index(_REQUEST) + 1, Bucket(root)
    request = json.loads(command[place])
    with TemporaryDirectory(prefix="labram-task-") as folder:
        scratch = Path(folder)
        for artefact in _artefacts(request["inputs"]):
            if artefact["uri"].startswith(f"{root}/"):
                artefact["uri"] = str(_fetch(bucket, artefact["uri"].removeprefix(f"{root}/"), scratch))
        for artefact in _artefacts(request["outputs"]):
            artefact["uri"] = str(scratch / Path(artefact["uri"]).relative_to(local))
        code = subprocess.call([*command[:place], json.dumps(request), *command[place + 1 :]])
        if code == 0:
            _send(bucket, Path(request["outputs"]["outputFile"]), scratch)
    return code


def _artefacts(side: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All artefacts of a task's inputs or outputs, as KFP describes them."""
    for listed in side.get("artifacts", {}).values():
        yield from listed["artifacts"]


def _fetch(bucket: Bucket, name: str, scratch: Path) -> Path:
    """Bring an artefact, a file or a folder, to its place in `scratch`; gives the place."""
    names = [name] if bucket.exists(name) else bucket.list_names(name)
    if not names:
        raise StoreError(
            "an artefact of an earlier task is no longer in the bucket",
            file=f"{bucket.uri}/{name}",
            remedy="Run again with --force, and let no rule of the bucket remove artefacts of runs that may go on",
        )
    for one in names:
        (scratch / one).parent.mkdir(parents=True, exist_ok=True)
        bucket.download(one, scratch / one)
    return scratch / name


def _send(bucket: Bucket, output_file: Path, scratch: Path) -> None:
    """Send what the task has made, and name its address in what KFP reads of the task."""
    answer = json.loads(output_file.read_text())
    for artefact in _artefacts(answer):
        made = Path(artefact["uri"])
        for path in sorted(made.rglob("*")) if made.is_dir() else [made]:
            if path.is_file():
                bucket.upload(path, path.relative_to(scratch).as_posix())
        artefact["uri"] = f"{bucket.uri}/{made.relative_to(scratch).as_posix()}"
    output_file.write_text(json.dumps(answer))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: None)  # the task has it too; what it does before it ends is waited for
    try:
        sys.exit(launch(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
    except LabramError as error:
        emit("failed", step="artefacts", kind=type(error).__name__, text=str(error))
        sys.exit(f"error: {error}")
