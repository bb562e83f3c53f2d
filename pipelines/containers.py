"""Tasks of a local run as containers, restricted as pods on a cluster are.

A container has the image of this source tree (`make images` builds it), an unknown user, no capabilities, a read-only
file system except for the workspace and /tmp, and no network unless a server or a bucket is in use.
"""

import os
import signal
import zlib
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound
from docker.models.containers import Container
from docker.types import Mount
from kfp import local

from components import IMAGE
from labram.corpus.pseudonyms import KEY_VARIABLE, load_key
from labram.errors import PlatformError
from labram.logs import CORPUS_VARIABLE
from labram.platform.workspace import Workspace

FORWARDED = ("LABRAM_", "MLFLOW_", "AWS_", "OMP_")
"""Prefixes of the environment variables that tasks inherit."""
LABEL = "dev.labram.workspace"
GROUP_WRITES = ["sh", "-c", 'umask 0002 && exec "$@"', "task"]
"""Entry point: files stay writable to the group of the user who started the run."""
STOP_TASK = ["sh", "-c", "kill -TERM -1"]
"""Sends SIGTERM to all processes: KFP's shell, the container's first process, would ignore it."""


def in_containers(workspace: Workspace) -> local.DockerRunner:
    """Return KFP's Docker runner for a workspace; SIGTERM to this process also stops its containers.

    Raises:
        PlatformError: If no container engine answers, or the image of this source tree is missing.
    """
    _require_image()
    for left_behind in _running(workspace):
        left_behind.kill()
    signal.signal(signal.SIGTERM, lambda number, _: _stop(workspace, 128 + number))
    forwarded = {name: value for name, value in os.environ.items() if name.startswith(FORWARDED)}
    folders = {str(folder) for folder in (workspace.root, workspace.store) if isinstance(folder, Path)}
    for folder in folders:
        _share(Path(folder))
    corpus = os.environ[CORPUS_VARIABLE]
    return local.DockerRunner(
        user=f"{_user(workspace)}:0",
        group_add=[os.getgid()],
        entrypoint=GROUP_WRITES,
        read_only=True,
        tmpfs={"/tmp": "mode=1777"},  # noqa: S108
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        network_mode="host" if any("://" in value for value in forwarded.values()) else "none",
        environment={**forwarded, KEY_VARIABLE: load_key(workspace.root).decode()},
        mounts=[
            Mount(corpus, corpus, type="bind", read_only=True),
            *(Mount(folder, folder, type="bind") for folder in sorted(folders)),
        ],
        labels={LABEL: str(workspace.root)},
    )


def _running(workspace: Workspace) -> list[Container]:
    return list(docker.from_env().containers.list(filters={"label": f"{LABEL}={workspace.root}"}))


def _stop(workspace: Workspace, code: int) -> None:
    """Stop the tasks, so that training writes a checkpoint, then this process before KFP starts more tasks."""
    for container in (running := _running(workspace)):
        container.exec_run(STOP_TASK)
    for container in running:
        container.wait()
    os._exit(code)


def _require_image() -> None:
    try:
        docker.from_env().images.get(IMAGE)
    except ImageNotFound as error:
        raise PlatformError(
            f"image of this source tree not found ({IMAGE})", remedy="Build it with `make images`"
        ) from error
    except DockerException as error:
        raise PlatformError(
            f"no container engine answers ({error})",
            field="DOCKER_HOST",
            remedy="Start Docker, or Podman with `podman system service`, and set DOCKER_HOST to its socket",
        ) from error


def _user(workspace: Workspace) -> int:
    """Return an unused user id, the same for every run in a workspace, because the user owns its files."""
    return 10_000 + zlib.crc32(str(workspace.root).encode()) % 50_000


def _share(folder: Path) -> None:
    """Make files of this user below a folder writable to the group, if the group may read them."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        if status.st_uid == os.getuid() and status.st_mode & 0o040 and not path.is_symlink():
            path.chmod(status.st_mode | (0o2020 if path.is_dir() else 0o020))
