"""Artifacts of KFP's local runner in a bucket, as KFP's launcher keeps them on a cluster.

KFP's local runner keeps artifacts in a folder only. With `LABRAM_PIPELINE_ROOT` set to ``s3://bucket/prefix``, this
module starts each task: it downloads the task's inputs to a temporary folder, runs the task there, uploads the outputs
and removes the folder. Between tasks, and in KFP's cache, there are addresses of objects only.
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
    """Have the tasks of a pipeline keep their artifacts below `LABRAM_PIPELINE_ROOT`, if that is set.

    Args:
        pipeline: A `dsl.pipeline`.
        local: KFP's local pipeline root.
    """
    root = os.environ.get(ROOT_VARIABLE, "").rstrip("/")
    if not root:
        return
    launcher = ["python3", "-m", "tests.integration.bucket_artifacts", root, str(local)]
    executors = pipeline.component_spec.implementation.graph.deployment_spec["executors"]
    for name in executors:
        container = executors[name]["container"]
        container["command"] = [*launcher, *container["command"]]


def launch(root: str, local: Path, command: list[str]) -> int:
    """Run a task's command with its artifacts in a temporary folder; return its exit code.

    Args:
        root: Address of the artifacts.
        local: KFP's local pipeline root, below which it names artifacts.
        command: The task's command; its request follows ``--executor_input``.

    Raises:
        StoreError: If an input is not in the bucket, or the bucket does not answer.
    """
    position, bucket = command.index(_REQUEST) + 1, Bucket(root)
    request = json.loads(command[position])
    with TemporaryDirectory(prefix="labram-task-") as folder:
        scratch = Path(folder)
        for artifact in _artifacts(request["inputs"]):
            if artifact["uri"].startswith(f"{root}/"):
                artifact["uri"] = str(_fetch(bucket, artifact["uri"].removeprefix(f"{root}/"), scratch))
        for artifact in _artifacts(request["outputs"]):
            artifact["uri"] = str(scratch / Path(artifact["uri"]).relative_to(local))
        code = subprocess.call([*command[:position], json.dumps(request), *command[position + 1 :]])
        if code == 0:
            _send(bucket, Path(request["outputs"]["outputFile"]), scratch)
    return code


def _artifacts(side: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all artifacts among a task's inputs or outputs."""
    for listed in side.get("artifacts", {}).values():
        yield from listed["artifacts"]


def _fetch(bucket: Bucket, name: str, scratch: Path) -> Path:
    """Download an artifact, a file or a folder, to `scratch`; return its path."""
    names = [name] if bucket.exists(name) else bucket.list_names(name)
    if not names:
        raise StoreError(
            "an artifact of an earlier task is no longer in the bucket",
            file=f"{bucket.uri}/{name}",
            remedy="Run again with --force, and exempt artifacts of recent runs from lifecycle rules of the bucket",
        )
    for key in names:
        (scratch / key).parent.mkdir(parents=True, exist_ok=True)
        bucket.download(key, scratch / key)
    return scratch / name


def _send(bucket: Bucket, output_file: Path, scratch: Path) -> None:
    """Upload the task's outputs, and write their addresses to the file from which KFP reads them."""
    answer = json.loads(output_file.read_text(encoding="utf-8"))
    for artifact in _artifacts(answer):
        output = Path(artifact["uri"])
        for path in sorted(output.rglob("*")) if output.is_dir() else [output]:
            if path.is_file():
                bucket.upload(path, path.relative_to(scratch).as_posix())
        artifact["uri"] = f"{bucket.uri}/{output.relative_to(scratch).as_posix()}"
    output_file.write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: None)  # the task receives it too, and is waited for
    try:
        sys.exit(launch(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
    except LabramError as error:
        emit("failed", step="artifacts", kind=type(error).__name__, text=str(error))
        sys.exit(f"error: {error}")
