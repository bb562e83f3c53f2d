"""Lineage of a result: commit, code version, recipe and corpus version."""

import getpass
import hashlib
import os
import platform
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, distributions, version
from importlib.util import find_spec
from pathlib import Path

from labram import git
from labram.git import PACKAGES, SourceState
from labram.recipe import Recipe

COMMIT_VARIABLE = "LABRAM_COMMIT"
"""Set in container images, which have no checkout: the commit, with the suffix ``-dirty`` if the tree had changes."""
LOCK_FILE, DIFF_FILE = "constraints.txt", "source.diff"
IMAGE_VARIABLE, ACTOR_VARIABLE = "LABRAM_IMAGE", "LABRAM_ACTOR"
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


def changed_files() -> list[str]:
    """Return the files of the running checkout that differ from its commit; none outside a checkout."""
    return (git.changes(ROOT) or []) if _is_checkout(ROOT) and not os.environ.get(COMMIT_VARIABLE) else []


def image_tag() -> str:
    """Return the tag of images of this source: its commit, or ``source``, and the digest of its code."""
    name = commit()
    return f"{'source' if name == git.UNKNOWN else name[:12]}-{code_version()}"


@cache
def lock_hash() -> str:
    """Return the first 12 hex digits of the SHA-256 of the checkout's ``constraints.txt``; "" outside a checkout."""
    file = ROOT / LOCK_FILE
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12] if _is_checkout(ROOT) and file.is_file() else ""


@cache
def environment_hash() -> str:
    """Return the first 12 hex digits of the SHA-256 over names and versions of all installed distributions but ours."""
    names = {f"{(found.name or '').lower()}=={found.version}" for found in distributions()}
    others = sorted(name for name in names if not name.startswith(f"{PACKAGES[0]}=="))
    return hashlib.sha256("\n".join(others).encode()).hexdigest()[:12]


@cache
def diff() -> str:
    """Return the uncommitted changes of the checkout as a patch; "" if there are none, or no checkout."""
    return git.uncommitted_diff(ROOT) if dirty() and COMMIT_VARIABLE not in os.environ else ""


def image() -> str:
    """Return the container image of this task, by digest or commit tag; "" without a container."""
    reference = os.environ.get(IMAGE_VARIABLE, "")
    return "" if reference.startswith("localhost/") else reference


def actor() -> str:
    """Return who started this process: ``LABRAM_ACTOR`` if set, else the user's name or uid."""
    try:
        return os.environ.get(ACTOR_VARIABLE) or getpass.getuser()
    except (OSError, KeyError):
        return f"uid-{os.getuid()}"


def circumstances() -> dict[str, str]:
    """Return, as MLflow tags, who started a run and where: nothing that its result should depend on."""
    stated = {"actor": actor(), "image": image(), "platform": f"{platform.system()} {platform.machine()}"}
    return {name: value for name, value in stated.items() if value}


def lineage_tags(recipe: Recipe, corpus_version: str, start: str = "") -> dict[str, str]:
    """Return the lineage of a run as MLflow tags.

    Args:
        recipe: The resolved recipe.
        corpus_version: See `labram.corpus.dvc_versions.corpus_version`.
        start: Address and digest of the backbone that the run starts from; "" if it trains its own.
    """
    optional = {"backbone": start, "lock_hash": lock_hash(), "diff_hash": short_hash(diff())}
    return {name: value for name, value in optional.items() if value} | {
        "git_commit": commit(),
        "git_dirty": git.UNKNOWN if dirty() is None else str(dirty()).lower(),
        "code_version": code_version(),
        "corpus_version": corpus_version,
        "recipe": recipe.name,
        "recipe_hash": recipe.digest(),
        "seed": str(recipe.seed),
        "environment_hash": environment_hash(),
        "python": platform.python_version(),
        "torch": version("torch"),
    }


def short_hash(text: str) -> str:
    """Return the first 12 hex digits of the SHA-256 of a text; "" for an empty one."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12] if text else ""
