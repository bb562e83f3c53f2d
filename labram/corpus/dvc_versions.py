"""Corpus versions: DVC where the corpus is under it, a fingerprint of the files elsewhere.

The corpus version of a DVC corpus is the ``.dir`` md5 in its `.dvc` file: a content address of the whole tree. A commit
names a version by the `data.dvc` in it, so the corpus of a commit can be had wherever its repository can be read.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml

from labram.atomic import atomic_folder, atomic_path
from labram.errors import CorpusError, PlatformError
from labram.events import Monitor

if TYPE_CHECKING:
    from labram.store.store import Store

DATA = "data"
POINTER = f"{DATA}.dvc"
Status = Literal["clean", "changed", "uncommitted", "absent"]


def corpus_version(data: Path, datasets: Sequence[str], store: "Store | None" = None) -> str:
    """The version of a corpus folder as it is now.

    Args:
        data: The corpus folder.
        datasets: Adapters that take part; empty: all that recognise something.
        store: Remembers hashes of files that have not changed.

    Raises:
        CorpusError: If there is nothing to read in `data`.
    """
    from labram.corpus.scan import fingerprint

    pointer = dvc_file(data)
    if pointer is not None and is_clean(pointer):
        return recorded_version(pointer)
    return f"sha256-{fingerprint(data, datasets, store)}"


def dvc_file(data: Path) -> Path | None:
    """The `.dvc` file that vouches for `data`, if there is one."""
    pointer = data.absolute().parent / f"{data.absolute().name}.dvc"
    return pointer if pointer.is_file() else None


def recorded_version(pointer: Path) -> str:
    """The content address that a `.dvc` file records."""
    return _version_in(pointer.read_text())


def is_clean(pointer: Path) -> bool:
    """Whether the data are what the `.dvc` file says, by DVC's own judgement."""
    return bool(json.loads(_dvc(pointer.parent, "status", "--json", pointer.name) or "{}") == {})


def checkout(pointer: Path, monitor: Monitor) -> None:
    """Make the data of `pointer` be there: from DVC's cache, from its remote, or by simulating them again.

    Raises:
        PlatformError: If there are data in the way that DVC does not keep.
        CorpusError: If neither has them, and simulated data are not those that the `.dvc` file records.
    """
    data = pointer.with_suffix("")
    for way in ("checkout", "pull") if _has_remote(pointer.parent) else ("checkout",):
        if _dvc(pointer.parent, way, pointer.name, check=False) is not None and data.exists():
            return
    if data.exists():
        raise PlatformError(
            f"the data that {pointer.name} records cannot be had, or others are in their place",
            file=data.name,
            remedy=f"Run `dvc status` and `dvc pull {pointer.name}` to see what is in the way",
        )
    from labram.simulation.simulate import simulate

    simulate(data, monitor=monitor)
    recorded = pointer.read_text()
    _dvc(pointer.parent, "commit", "--force", pointer.name)  # hashes the data and puts them into the cache
    if pointer.read_text() != recorded:
        pointer.write_text(recorded)
        shutil.rmtree(data)
        raise CorpusError(
            f"DVC has not got the corpus, and the simulated one is not the one that {pointer.name} records",
            file=data.name,
            remedy=f"Make DVC's remote reachable; if the simulation was changed on purpose, run "
            f"`labram corpus simulate {data.name}` and `labram corpus add {data.name}`",
        )


def add(folder: Path, project: Path, monitor: Monitor) -> str:
    """Put recordings into the corpus of a project and record its new version in `data.dvc`.

    Files are copied to ``data/<name of the folder>``; those of the same name are replaced and none is removed, so a
    dataset can grow. A folder that is below `data` already is recorded as it is. Hidden files stay where they are.

    Args:
        folder: Folder of a dataset or of recordings.
        project: The folder of `data` and `data.dvc`.
        monitor: Is told of each file that is copied.

    Returns:
        The corpus version. `data.dvc` is to be committed with git, and the data sent on with ``dvc push``.

    Raises:
        CorpusError: If there is nothing in the folder, or a file cannot be read or written.
        PlatformError: If DVC fails.
    """
    data = (project / DATA).absolute()
    if not folder.is_dir():
        raise CorpusError("there is no such folder", file=folder, remedy="Give a folder of recordings")
    if (project / POINTER).is_file() and not data.exists():
        checkout(project / POINTER, monitor)  # or the new version would lack all that the last one has
    files = _files(folder)
    if not folder.resolve().is_relative_to(data.resolve()):
        _copy(files, folder, data / folder.resolve().name, monitor)
    if not (project / ".dvc").is_dir():
        in_git = _git(project, "rev-parse", "--git-dir") is not None
        _dvc(project, "init", "--quiet", *(() if in_git else ("--no-scm",)))
    _dvc(project, "add", "--quiet", DATA)
    return recorded_version(project / POINTER)


def committed_version(project: Path, rev: str = "HEAD") -> str:
    """The corpus version of a commit of a working copy.

    Raises:
        CorpusError: If there is no such commit, or no `data.dvc` in it.
    """
    text = _git(project, "show", "--end-of-options", f"{rev}:./{POINTER}")
    if text is None:
        raise CorpusError(
            f"no {POINTER} is committed at {rev}",
            file=project,
            remedy=f"Run `labram corpus add DIR`, then commit {POINTER} with git; or name another revision",
        )
    return _version_in(text)


def status(project: Path) -> Status:
    """How `data` and `data.dvc` stand to the last commit of a working copy.

    Returns:
        ``clean``: they are its corpus; ``absent``: `data` is not here; ``changed``: `data` differs from `data.dvc`;
        ``uncommitted``: `data.dvc` differs from that of the commit.
    """
    pointer = project / POINTER
    if not pointer.is_file() or recorded_version(pointer) != committed_version(project):
        return "uncommitted"
    if not (project / DATA).exists():
        return "absent"
    return "clean" if is_clean(pointer) else "changed"


def file_hashes(project: Path, rev: str) -> dict[str, str]:
    """MD5 of every file of a commit's corpus, by path below `data`.

    Raises:
        CorpusError: See `committed_version`.
        PlatformError: If neither DVC's cache nor its remote has the list.
    """
    committed_version(project, rev)
    text = _dvc(project, "list", ".", DATA, "--rev", rev, "--recursive", "--dvc-only", "--show-hash", "--json")
    return {entry["path"]: entry["md5"] for entry in json.loads(text or "[]") if not entry["isdir"]}


def pull(out: Path, *, repository: str, rev: str | None = None) -> str:
    """Make a folder hold exactly the corpus of a commit; no working copy is needed.

    What arrives is compared with the version, file by file, before it takes the folder's place.

    Args:
        out: The folder. What is in it is replaced if DVC keeps it, and never otherwise.
        repository: Path or URL of the git repository.
        rev: Commit, tag or branch; None: the repository's default.

    Returns:
        The corpus version.

    Raises:
        PlatformError: If the repository, the revision or the data cannot be had.
        CorpusError: If what arrives is damaged, or `out` holds what no version has.
    """
    which = ("--rev", rev) if rev else ()
    version = _version_of(repository, which)
    if out.exists():
        present = tree_version(out)
        if present == version:
            return version
        _require_kept(out, present)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out) as arrived:
        if _dvc(out.parent, "get", repository, DATA, "--out", str(arrived), *which, check=False) is None:
            raise _not_to_be_had("the corpus of this commit", which)
        if tree_version(arrived) != version:
            raise CorpusError(
                "what arrived is not the corpus of that commit: a file is damaged in the remote",
                file=out.name,
                remedy="Run `dvc push` again where the data are sound",
            )
    return version


def tree_version(folder: Path) -> str:
    """The version that DVC gives to a folder: MD5 over the sorted list of its files' MD5s and paths.

    Raises:
        CorpusError: If a file cannot be read.
    """
    try:
        files = sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())
        listed = [{"md5": _md5(path), "relpath": name} for name, path in files]
    except OSError as error:
        raise _unusable(error) from error
    return f"{hashlib.md5(json.dumps(listed).encode(), usedforsecurity=False).hexdigest()}.dir"


def _version_in(text: str) -> str:
    return str(yaml.safe_load(text)["outs"][0]["md5"])


def _files(folder: Path) -> list[Path]:
    """Files below a folder, by names that DVC can keep."""
    from labram.datasets.base import list_files

    try:
        files = [file for path in list_files(folder) for file in (list_files(path) if path.is_dir() else [path])]
    except OSError as error:
        raise _unusable(error) from error
    if not files:
        raise CorpusError("this folder is empty", file=folder, remedy="Give a folder of recordings")
    for path in files:
        if not path.is_file():
            raise CorpusError(
                "this is no file: a folder that may not be read, a link to nothing, a pipe or a device",
                file=path,
                remedy="Remove it, or add another folder",
            )
        try:
            str(path).encode()
        except UnicodeEncodeError as error:
            raise CorpusError(
                f"the name {path.name!a} is no UTF-8 text, which DVC wants", file=folder, remedy="Rename the file"
            ) from error
    return files


def _copy(files: Sequence[Path], folder: Path, target: Path, monitor: Monitor) -> None:
    """Copy files, each whole or not at all: what stands in `target` may be a link into DVC's cache."""
    try:
        for done, path in enumerate(files, start=1):
            place = target / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(place) as temporary:
                shutil.copy2(path, temporary)
            monitor.progress(done, len(files))
    except OSError as error:
        raise _unusable(error) from error


def _unusable(error: OSError) -> CorpusError:
    return CorpusError(
        f"the recordings cannot be read or written ({error.strerror})",
        file=error.filename,
        remedy="Make them readable, or make room",
    )


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _require_kept(out: Path, version: str) -> None:
    """Refuse to replace what neither the `.dvc` file beside it nor any commit of it records."""
    pointer = dvc_file(out)
    history = _git(out.parent, "log", "--all", "--patch", "--format=", "--", f"./{out.name}.dvc") or ""
    if version not in (pointer.read_text() if pointer else "") + history:
        raise CorpusError(
            "the folder holds files that no version of the corpus has",
            file=out,
            remedy="Run `labram corpus add` to keep them, or name another folder with --out",
        )


def _version_of(repository: str, which: Sequence[str]) -> str:
    """The corpus version of a commit, wherever its repository is."""
    text = _dvc(Path.cwd(), "list", repository, "--dvc-only", "--show-hash", "--json", *which, check=False)
    versions = [str(entry["md5"]) for entry in json.loads(text or "[]") if entry["path"] == DATA]
    if not versions:
        raise _not_to_be_had(f"a commit with {POINTER}", which)
    return versions[0]


def _not_to_be_had(what: str, which: Sequence[str]) -> PlatformError:
    return PlatformError(
        f"{what} cannot be had",
        field=" ".join(which) or "--repo",
        remedy="Check the address of the repository, the revision, and that `dvc push` was run there; the remote's "
        "credentials come from the environment",
    )


def _git(folder: Path, *arguments: str) -> str | None:
    """Standard output of a git command; None if it failed."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def _has_remote(folder: Path) -> bool:
    return bool((_dvc(folder, "remote", "list", check=False) or "").strip())


def _dvc(folder: Path, *arguments: str, check: bool = True) -> str | None:
    """Standard output of a DVC command; None if it failed and `check` is off. Exit codes decide, never texts."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return done.stdout
    if not check:
        return None
    raise PlatformError(
        f"dvc {arguments[0]} failed with exit code {done.returncode}",
        file=arguments[-1],
        remedy="Run the same dvc command by hand to see what it says",
    )
