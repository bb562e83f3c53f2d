"""Calls of git that ask one repository, whatever the environment names. `setup.py` loads this file alone.

A git hook exports the place of its repository, and a virtual environment may lie inside another one, so an answer
counts only if it is about the folder that was asked for.
"""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

UNKNOWN = "unknown"
COMMIT_FILE = "commit.txt"
"""Metadata file of an installed wheel: the commit that it was built from, with `DIRTY` if the tree had changes."""
DIRTY = "-dirty"
LOCATIONS = tuple(
    f"GIT_{name}"
    for name in (
        *("DIR", "WORK_TREE", "COMMON_DIR", "INDEX_FILE", "NAMESPACE", "PREFIX"),
        *("OBJECT_DIRECTORY", "ALTERNATE_OBJECT_DIRECTORIES", "CEILING_DIRECTORIES"),
    )
)
"""Environment variables by which git, or DVC, would use another repository than that of its folder."""
TIMEOUT_SECONDS = 20
PACKAGES = ("labram", "components", "pipelines")
_CODE = ("--exclude-standard", "--exclude=__pycache__", "--", *PACKAGES)
"""Folders whose files run without being named, such as dataset adapters: an untracked one is a change."""


DEPLOYMENT = ("k8s/images/kustomization.yaml", "k8s/overlays", "k8s/places", "k8s/pools", "k8s/schedules.yaml")
"""Settings of an installation, which its operators edit and `make images` writes: no part of the program."""


class SourceState(NamedTuple):
    """Commit of a source tree, or `UNKNOWN`, and whether it has uncommitted changes; None: not known."""

    commit: str
    dirty: bool | None

    @property
    def label(self) -> str:
        """The commit, with `DIRTY` if the tree has changes; `UNKNOWN` if it is not known whether it has."""
        return UNKNOWN if self.dirty is None else f"{self.commit}{DIRTY if self.dirty else ''}"

    @classmethod
    def from_label(cls, label: str) -> "SourceState":
        """Return the state that a label states."""
        commit = label.strip().removesuffix(DIRTY)
        return cls(commit, label.strip().endswith(DIRTY)) if commit not in ("", UNKNOWN) else NOT_KNOWN


NOT_KNOWN = SourceState(UNKNOWN, None)


def without_locations(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which git uses the repository of its folder."""
    return {name: value for name, value in environment.items() if name not in LOCATIONS}


def git(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str | None:
    """Return the standard output of a git command in a folder's repository; None if it failed.

    Args:
        folder: The folder.
        *arguments: The command.
        environment: Its environment; None: that of this process, `without_locations`.
    """
    environment = without_locations(os.environ) if environment is None else environment
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="surrogateescape") if done.returncode == 0 else None


def source_state(root: Path) -> SourceState:
    """Return the state of a source tree whose code runs; not known unless the tree is the root of a repository.

    The owner of the files does not matter (``safe.directory``): their code runs already.
    """
    top, head = _ask(root, "rev-parse", "--show-toplevel"), _ask(root, "rev-parse", "--verify", "HEAD")
    if top is None or head is None or Path(top.removesuffix("\n")).resolve() != root.resolve():
        return NOT_KNOWN
    changed = changes(root)
    return SourceState(head.strip(), None if changed is None else bool(changed))


def changes(root: Path) -> list[str] | None:
    """Return the changed files of a source tree, and new ones among its code, without `DEPLOYMENT`; None: not known."""
    excluded = [f":(exclude,top){path}" for path in DEPLOYMENT]
    changed = _ask(root, "status", "--porcelain", "--untracked-files=no", "--", ":/", *excluded)
    untracked = _ask(root, "ls-files", "--others", *_CODE)
    if changed is None or untracked is None:
        return None
    return [line[3:] for line in changed.splitlines()] + untracked.splitlines()


def _ask(root: Path, *arguments: str) -> str | None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    options = ("--no-optional-locks", "-c", "safe.directory=*", "-c", "core.fsmonitor=false")
    return git(root, *options, *arguments, environment=environment)


def uncommitted_diff(root: Path) -> str:
    """Return the difference between a source tree and its commit as a patch for ``git apply``; "" if there is none.

    It has the packages, new files included, ``pyproject.toml`` and ``constraints.txt``. The repository is not changed:
    index and objects of the comparison are temporary.
    """
    objects = git(root, "rev-parse", "--path-format=absolute", "--git-path", "objects")
    if objects is None:
        return ""
    paths = [path for path in (*PACKAGES, "pyproject.toml", "constraints.txt") if (root / path).exists()]
    with tempfile.TemporaryDirectory() as temporary:
        places = {
            "INDEX_FILE": f"{temporary}/index",
            "OBJECT_DIRECTORY": temporary,
            "ALTERNATE_OBJECT_DIRECTORIES": objects.strip(),
        }
        environment = without_locations(os.environ) | {f"GIT_{name}": place for name, place in places.items()}
        for command in (("read-tree", "HEAD"), ("add", "--all", "--", *paths)):
            git(root, *command, environment=environment)
        return git(root, "diff", "--cached", "--binary", "HEAD", "--", *paths, environment=environment) or ""
