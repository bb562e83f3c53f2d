"""Lineage of a result: commit, code version, recipe and corpus version."""

import hashlib
import os
import platform
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path

from labram import git
from labram.git import SourceState
from labram.recipe import Recipe

COMMIT_VARIABLE = "LABRAM_COMMIT"
"""Set in container images, which have no checkout: the commit, with the suffix ``-dirty`` if the tree had changes."""
PACKAGES = ("labram", "components", "pipelines")
ROOT = Path(__file__).parents[2]
"""The checkout or, in an installation, site-packages."""


@cache
def source_digest(*packages: str) -> str:
    """Return the first 12 hex digits of the SHA-256 over all files of the packages, paths included."""
    total = hashlib.sha256()
    for package in packages:
        spec = find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    total.update(f"{package}/{path.relative_to(folder).as_posix()}".encode())
                    total.update(path.read_bytes())
    return total.hexdigest()[:12]


def code_version() -> str:
    """Return the digest of labram's source, which a task's result depends on besides its inputs."""
    return source_digest(*PACKAGES)


@cache
def source_state() -> SourceState:
    """Return the commit and the changes of the running code: of the image, the checkout or the installed wheel.

    A checkout is the folder with this project's pyproject.toml; a repository around it says nothing about the code.
    """
    if label := os.environ.get(COMMIT_VARIABLE):
        return SourceState.from_label(label)
    if _is_checkout(ROOT):
        return git.source_state(ROOT)
    return SourceState.from_label(_wheel_commit())


def _is_checkout(root: Path) -> bool:
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        return False
    return bool(project.get("name") == PACKAGES[0])


def _wheel_commit() -> str:
    """Return the commit in the metadata of the wheel that this file belongs to; "" if there is none."""
    try:
        wheel = distribution(PACKAGES[0])
    except PackageNotFoundError:
        return ""
    own = Path(str(wheel.locate_file(PACKAGES[0]))).resolve() == (ROOT / PACKAGES[0]).resolve()
    return (wheel.read_text(git.COMMIT_FILE) or "") if own else ""


def commit() -> str:
    """Return the git commit of the running code, or ``unknown``."""
    return source_state().commit


def dirty() -> bool | None:
    """Return whether the running code has uncommitted changes; None if that is not known."""
    return source_state().dirty


def image_tag() -> str:
    """Return the tag of images of this source: its commit, or ``source``, and the digest of its code."""
    name = commit()
    return f"{'source' if name == git.UNKNOWN else name[:12]}-{code_version()}"


def lineage_tags(recipe: Recipe, corpus_version: str, start: str = "") -> dict[str, str]:
    """Return the lineage of a run as MLflow tags.

    Args:
        recipe: The resolved recipe.
        corpus_version: See `labram.corpus.dvc_versions.corpus_version`.
        start: Address and digest of the backbone that the run starts from; "" if it trains its own.
    """
    return ({"backbone": start} if start else {}) | {
        "git_commit": commit(),
        "git_dirty": git.UNKNOWN if dirty() is None else str(dirty()).lower(),
        "code_version": code_version(),
        "corpus_version": corpus_version,
        "recipe": recipe.name,
        "recipe_hash": recipe.digest(),
        "python": platform.python_version(),
        "torch": version("torch"),
    }
