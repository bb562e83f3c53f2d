"""Tasks of a run on this machine as containers, held as a cluster holds them.

A container has the image of this very source tree (`make images` builds it), a user that no system knows, no
capabilities, nothing to write to but the workspace and /tmp, and no network unless a server or a bucket is in use.
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
"""How the names begin of environment variables that tasks see, as subprocesses see all."""
LABEL = "dev.labram.workspace"
GROUP_WRITES = ["sh", "-c", 'umask 0002 && exec "$@"', "task"]
"""Entry point: files stay writable to the group, that of whoever started the run."""
STOP_TASK = ["sh", "-c", "kill -TERM -1"]
"""The signal goes past KFP's shell, which as a container's first process would ignore it."""


def in_containers(workspace: Workspace) -> local.DockerRunner:
    """Have the tasks of a run in `workspace` started as containers; none outlives this process when it is told to stop.

    Raises:
        PlatformError: If no container engine answers, or it has no image of this source tree.
    """
    _require_image()
    for left_behind in _running(workspace):
        left_behind.kill()
    signal.signal(signal.SIGTERM, lambda number, _: _stop(workspace, 128 + number))
    given = {name: value for name, value in os.environ.items() if name.startswith(FORWARDED)}
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
        network_mode="host" if any("://" in value for value in given.values()) else "none",
        environment={**given, KEY_VARIABLE: load_key(workspace.root).decode()},
        mounts=[
            Mount(corpus, corpus, type="bind", read_only=True),
            *(Mount(folder, folder, type="bind") for folder in sorted(folders)),
        ],
        labels={LABEL: str(workspace.root)},
    )


def _running(workspace: Workspace) -> list[Container]:
    return list(docker.from_env().containers.list(filters={"label": f"{LABEL}={workspace.root}"}))


def _stop(workspace: Workspace, code: int) -> None:
    """End the tasks, training with a checkpoint, then this process before KFP can start more."""
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
            f"there is no image of this source tree ({IMAGE})", remedy="Build it with `make images`"
        ) from error
    except DockerException as error:
        raise PlatformError(
            f"no container engine answers ({error})",
            field="DOCKER_HOST",
            remedy="Start Docker, or Podman with `podman system service`, and set DOCKER_HOST to its socket",
        ) from error


def _user(workspace: Workspace) -> int:
    """A user id that nobody has; always the same for a workspace, whose files are that user's."""
    return 10_000 + zlib.crc32(str(workspace.root).encode()) % 50_000


def _share(folder: Path) -> None:
    """Let the group write wherever it may read, below a folder that this user's processes have written to."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder, *folder.rglob("*")):
        found = path.lstat()
        if found.st_uid == os.getuid() and found.st_mode & 0o040 and not path.is_symlink():
            path.chmod(found.st_mode | (0o2020 if path.is_dir() else 0o020))
