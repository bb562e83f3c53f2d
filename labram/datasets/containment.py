"""Whether a path, with all links followed, stays inside a corpus folder.

A link out of it would bring a file into the corpus that is not meant to be there, such as a private recording.
"""

import os
from pathlib import Path


def lies_inside(path: Path, folder: Path) -> bool:
    """Return whether a path, links resolved, lies in a folder, or in an object store of a repository that holds it.

    Such stores are those of git-annex, also of a submodule, and DVC's cache. A folder that is itself a link is no
    obstacle.
    """
    root, target = _resolve(folder), _resolve(path)
    if target.is_relative_to(root):
        return True
    caches = (above / ".dvc" / "cache" for above in root.parents)
    return any(_in_annex(target, above) for above in (root, *root.parents)) or any(
        target.is_relative_to(_resolve(cache)) for cache in caches
    )


def _in_annex(target: Path, repository: Path) -> bool:
    git = _resolve(repository / ".git")  # git-annex makes a link of that of a submodule
    return target.is_relative_to(git) and "/annex/objects/" in target.relative_to(git.parent).as_posix()


def _resolve(path: Path) -> Path:
    return Path(os.path.realpath(path))  # `Path.resolve` may raise for a link to itself
