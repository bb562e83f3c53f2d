"""Lineage of a result: commit, code version, recipe and corpus version."""

import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from labram.recipe import Recipe

COMMIT_VARIABLE, DIRTY = "LABRAM_COMMIT", "-dirty"
"""Set in container images, which have no checkout: the commit, with the suffix `DIRTY` if the tree had changes."""
PACKAGES = ("labram", "components", "pipelines")


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


def _git(*arguments: str) -> str:
    folder = Path(__file__).parent
    try:
        run = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""


@cache
def commit() -> str:
    """Return the git commit of the source tree or of the container image, or "" if there is neither."""
    return os.environ.get(COMMIT_VARIABLE, "").removesuffix(DIRTY) or _git("rev-parse", "HEAD")


@cache
def dirty() -> bool:
    """Return whether the source tree has uncommitted changes."""
    image_commit = os.environ.get(COMMIT_VARIABLE)
    if image_commit:
        return image_commit.endswith(DIRTY)
    return bool(_git("status", "--porcelain", "--untracked-files=no"))


def lineage_tags(recipe: Recipe, corpus_version: str, start: str = "") -> dict[str, str]:
    """Return the lineage of a run as MLflow tags.

    Args:
        recipe: The resolved recipe.
        corpus_version: See `labram.corpus.dvc_versions.corpus_version`.
        start: Address and digest of the backbone that the run starts from; "" if it trains its own.
    """
    return ({"backbone": start} if start else {}) | {
        "git_commit": commit(),
        "git_dirty": str(dirty()).lower(),
        "code_version": code_version(),
        "corpus_version": corpus_version,
        "recipe": recipe.name,
        "recipe_hash": recipe.digest(),
        "python": platform.python_version(),
        "torch": version("torch"),
    }
