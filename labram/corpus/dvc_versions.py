"""Corpus versions: from DVC if it tracks the corpus, else a fingerprint of the files.

The version of a DVC corpus is the ``.dir`` md5 in its `.dvc` file, the content address of the whole tree. A commit
records a version in its `data.dvc`, so `pull` reproduces the corpus of any commit from the repository alone.
"""

import configparser
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml

from labram.atomic import atomic_folder, atomic_path
from labram.child_process import OUTPUT_ENCODING
from labram.errors import CorpusError, PlatformError
from labram.events import Monitor
from labram.git import git, without_locations

if TYPE_CHECKING:
    from labram.store.store import Store

DATA = "data"
POINTER = f"{DATA}.dvc"
Status = Literal["clean", "changed", "uncommitted", "absent"]


def corpus_version(data: Path, datasets: Sequence[str], store: "Store | None" = None) -> str:
    """Return the current version of a corpus folder.

    Args:
        data: The corpus folder.
        datasets: Adapters to use; empty: every adapter that recognises a folder.
        store: Caches hashes of unchanged files.

    Raises:
        CorpusError: If `data` has no recordings.
    """
    pointer = dvc_file(data)
    if pointer is not None and is_clean(pointer):
        return recorded_version(pointer)
    return fingerprint_version(data, datasets, store)


def fingerprint_version(data: Path, datasets: Sequence[str], store: "Store | None" = None) -> str:
    """Return the version of a corpus folder without DVC, from the contents of its recordings.

    Raises:
        CorpusError: If `data` has no recordings.
    """
    from labram.corpus.scan import fingerprint

    return f"sha256-{fingerprint(data, datasets, store)}"


def dvc_file(data: Path) -> Path | None:
    """Return the `.dvc` file of a folder; None if it has none."""
    pointer = data.absolute().parent / f"{data.absolute().name}.dvc"
    return pointer if pointer.is_file() else None


def recorded_version(pointer: Path) -> str:
    """Return the content address in a `.dvc` file."""
    return _version_in(pointer.read_text(encoding="utf-8"))


def is_clean(pointer: Path) -> bool:
    """Return whether ``dvc status`` reports no difference between the data and their `.dvc` file."""
    return bool(json.loads(_dvc(pointer.parent, "status", "--json", pointer.name) or "{}") == {})


def checkout(pointer: Path, monitor: Monitor) -> None:
    """Restore the data of a `.dvc` file: from DVC's cache, from its remote, or by repeating the simulation.

    Raises:
        PlatformError: If untracked data are in the way.
        CorpusError: If neither has the data, and simulated data differ from those that the `.dvc` file records.
    """
    data = pointer.with_suffix("")
    for command in ("checkout", "pull") if _has_remote(pointer.parent) else ("checkout",):
        if _dvc(pointer.parent, command, pointer.name, check=False) is not None and data.exists():
            return
    if data.exists():
        raise PlatformError(
            f"cannot restore the data that {pointer.name} records: not available, or other data are in the way",
            file=data.name,
            remedy=f"Run `dvc status` and `dvc pull {pointer.name}` to see the cause",
        )
    from labram.simulation.simulate import simulate

    simulate(data, monitor=monitor)
    recorded = pointer.read_text(encoding="utf-8")
    _dvc(pointer.parent, "commit", "--force", pointer.name)  # hashes the data and puts them into the cache
    if pointer.read_text(encoding="utf-8") != recorded:
        pointer.write_text(recorded, encoding="utf-8")
        shutil.rmtree(data)
        raise CorpusError(
            f"DVC does not have the corpus, and the simulated one is not the one that {pointer.name} records",
            file=data.name,
            remedy=f"Make DVC's remote reachable; if the simulation changed on purpose, run "
            f"`labram corpus simulate {data.name}` and `labram corpus add {data.name}`",
        )


def add(folder: Path, project: Path, monitor: Monitor) -> str:
    """Add recordings to the corpus of a project and record its new version in `data.dvc`.

    Files are copied to ``data/<name of the folder>``. Files of the same name are replaced and none is deleted, so a
    dataset can grow. A folder that is already below `data` is not copied. Hidden files are skipped.

    Args:
        folder: Folder of a dataset or of recordings.
        project: The folder of `data` and `data.dvc`.
        monitor: Receives progress of copying.

    Returns:
        The corpus version. Commit `data.dvc` with git, and upload the data with ``dvc push``.

    Raises:
        CorpusError: If the folder is empty, has a link that leaves it, or a file cannot be read or written.
        PlatformError: If DVC fails.
    """
    data = (project / DATA).absolute()
    if not folder.is_dir():
        raise CorpusError("folder not found", file=folder, remedy="Pass a folder of recordings")
    if (project / POINTER).is_file() and not data.exists():
        checkout(project / POINTER, monitor)  # otherwise the new version would lack all previous data
    files = _files(folder)
    _require_inside(files, folder)
    inside = folder.resolve().is_relative_to(data.resolve())
    copies = {} if inside else {data / folder.resolve().name / path.relative_to(folder): path for path in files}
    _require_inside([path for path in data.rglob("*") if path.is_symlink() and path not in copies], data)
    _copy(copies, monitor)
    if not (project / ".dvc").is_dir():
        in_git = git(project, "rev-parse", "--git-dir") is not None
        _dvc(project, "init", "--quiet", *(() if in_git else ("--no-scm",)))
    _dvc(project, "add", "--quiet", DATA)
    return recorded_version(project / POINTER)


def committed_version(project: Path, rev: str = "HEAD") -> str:
    """Return the corpus version of a commit of a working copy.

    Raises:
        CorpusError: If the commit does not exist, or has no `data.dvc`.
    """
    text = git(project, "show", "--end-of-options", f"{rev}:./{POINTER}")
    if text is None:
        raise CorpusError(
            f"no {POINTER} is committed at {rev}",
            file=project,
            remedy=f"Run `labram corpus add DIR`, then commit {POINTER} with git; or choose another revision",
        )
    return _version_in(text)


def status(project: Path) -> Status:
    """Return how `data` and `data.dvc` differ from the last commit of a working copy.

    Returns:
        ``clean``: no difference; ``absent``: `data` does not exist; ``changed``: `data` differs from `data.dvc`;
        ``uncommitted``: `data.dvc` differs from that of the commit.
    """
    pointer = project / POINTER
    if not pointer.is_file() or recorded_version(pointer) != committed_version(project):
        return "uncommitted"
    if not (project / DATA).exists():
        return "absent"
    return "clean" if is_clean(pointer) else "changed"


def file_hashes(project: Path, rev: str) -> dict[str, str]:
    """Return the MD5 of every file of a commit's corpus, by path below `data`.

    Raises:
        CorpusError: See `committed_version`.
        PlatformError: If neither DVC's cache nor its remote has the file list.
    """
    committed_version(project, rev)
    text = _dvc(project, "list", ".", DATA, "--rev", rev, "--recursive", "--dvc-only", "--show-hash", "--json")
    return {entry["path"]: entry["md5"] for entry in json.loads(text or "[]") if not entry["isdir"]}


def is_available(project: Path, rev: str) -> bool:
    """Return whether DVC's cache or its remote has the file list of a commit's corpus."""
    try:
        return bool(file_hashes(project, rev))
    except (CorpusError, PlatformError):
        return False


def share_cache(project: Path, clone: Path) -> None:
    """Let a clone of a working copy use its DVC cache and its own settings of remotes, which git does not clone."""
    own = project.absolute() / ".dvc"
    if not own.is_dir() or not (clone / ".dvc").is_dir():
        return
    settings = configparser.RawConfigParser()
    settings.read(own / "config.local", encoding="utf-8")
    for section in settings.sections():
        for key in {"url", "dir"} & set(settings[section]):
            if "://" not in settings[section][key]:  # a folder, relative to the file
                settings[section][key] = str(own / settings[section][key])
    settings.read_dict({"cache": {"dir": settings.get("cache", "dir", fallback=str(own / "cache"))}})
    with atomic_path(clone / ".dvc" / "config.local") as temporary:
        temporary.touch(mode=0o600)
        with temporary.open("w", encoding="utf-8") as file:
            settings.write(file)


def pull(out: Path, *, repository: str, rev: str | None = None) -> str:
    """Download the corpus of a commit into a folder, without a working copy.

    The download is verified file by file before it replaces the folder.

    Args:
        out: The folder. Its files are replaced only if some version of the corpus has them.
        repository: Path or URL of the git repository.
        rev: Commit, tag or branch; None: the default branch.

    Returns:
        The corpus version.

    Raises:
        PlatformError: If the repository, the revision or the data are not available.
        CorpusError: If a downloaded file is damaged, or `out` has files that no version has.
    """
    revision = ("--rev", rev) if rev else ()
    version = _version_of(repository, revision)
    if out.exists():
        present = tree_version(out)
        if present == version:
            return version
        _require_versioned(out, present)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out) as downloaded:
        if _dvc(out.parent, "get", repository, DATA, "--out", str(downloaded), *revision, check=False) is None:
            raise _unavailable("the corpus of this commit", revision)
        if tree_version(downloaded) != version:
            raise CorpusError(
                "checksum mismatch: a downloaded file is damaged in the remote",
                file=out.name,
                remedy="Run `dvc push` again on a machine with intact data",
            )
    return version


def tree_version(folder: Path) -> str:
    """Return the version that DVC assigns to a folder: MD5 over the sorted list of its files' MD5s and paths.

    Raises:
        CorpusError: If a file cannot be read.
    """
    try:
        files = sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())
        listed = [{"md5": _md5(path), "relpath": name} for name, path in files]
    except OSError as error:
        raise _file_error(error) from error
    return f"{hashlib.md5(json.dumps(listed).encode(), usedforsecurity=False).hexdigest()}.dir"


def _version_in(text: str) -> str:
    return str(yaml.safe_load(text)["outs"][0]["md5"])


def _files(folder: Path) -> list[Path]:
    """Return the files below a folder; their names must be storable in DVC."""
    from labram.datasets.base import list_files

    try:
        files = [file for path in list_files(folder) for file in (list_files(path) if path.is_dir() else [path])]
    except OSError as error:
        raise _file_error(error) from error
    if not files:
        raise CorpusError("this folder is empty", file=folder, remedy="Pass a folder of recordings")
    for path in files:
        if not path.is_file():
            raise CorpusError(
                "not a regular file: an unreadable folder, a broken link, a pipe or a device",
                file=path,
                remedy="Remove it, or add another folder",
            )
        try:
            str(path).encode()
        except UnicodeEncodeError as error:
            raise CorpusError(
                f"the file name {path.name!a} is not UTF-8, which DVC requires", file=folder, remedy="Rename the file"
            ) from error
    return files


def _require_inside(files: Sequence[Path], folder: Path) -> None:
    """Raise for a link out of a folder: DVC would store the file that it names, such as a private key."""
    from labram.datasets.containment import lies_inside

    for path in files:
        if not lies_inside(path, folder):
            raise CorpusError(
                "a link leads out of the folder",
                file=path,
                remedy="Replace it by the file itself if that belongs to the corpus, else remove it",
            )


def _copy(copies: Mapping[Path, Path], monitor: Monitor) -> None:
    """Copy each value to its key atomically: an existing file may be a link into DVC's cache."""
    try:
        for done, (copy, path) in enumerate(copies.items(), start=1):
            copy.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(copy) as temporary:
                shutil.copy2(path, temporary)
            monitor.progress(done, len(copies))
    except OSError as error:
        raise _file_error(error) from error


def _file_error(error: OSError) -> CorpusError:
    return CorpusError(
        f"the recordings cannot be read or written ({error.strerror})",
        file=error.filename,
        remedy="Check their permissions and the free space",
    )


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _require_versioned(out: Path, version: str) -> None:
    """Raise unless the `.dvc` file beside a folder, or any commit of it, records its version."""
    pointer = dvc_file(out)
    history = git(out.parent, "log", "--all", "--patch", "--format=", "--", f"./{out.name}.dvc") or ""
    if version not in (pointer.read_text(encoding="utf-8") if pointer else "") + history:
        raise CorpusError(
            "the folder has files that no version of the corpus has",
            file=out,
            remedy="Run `labram corpus add` to keep them, or choose another folder with --out",
        )


def _version_of(repository: str, revision: Sequence[str]) -> str:
    """Return the corpus version of a commit of a local or remote repository."""
    text = _dvc(Path.cwd(), "list", repository, "--dvc-only", "--show-hash", "--json", *revision, check=False)
    versions = [str(entry["md5"]) for entry in json.loads(text or "[]") if entry["path"] == DATA]
    if not versions:
        raise _unavailable(f"a commit with {POINTER}", revision)
    return versions[0]


def _unavailable(name: str, revision: Sequence[str]) -> PlatformError:
    return PlatformError(
        f"{name} is not available",
        field=" ".join(revision) or "--repo",
        remedy="Check the URL of the repository, the revision, that `dvc push` was run there, and the credentials of "
        "the remote in the environment",
    )


def _has_remote(folder: Path) -> bool:
    return bool((_dvc(folder, "remote", "list", check=False) or "").strip())


def _dvc(folder: Path, *arguments: str, check: bool = True) -> str | None:
    """Return the standard output of a DVC command; None if it failed and `check` is off."""
    environment = {**without_locations(os.environ), **OUTPUT_ENCODING, "DVC_NO_ANALYTICS": "1", "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return done.stdout
    if not check:
        return None
    raise PlatformError(
        f"dvc {arguments[0]} failed with exit code {done.returncode}",
        file=arguments[-1],
        remedy="Run the same dvc command by hand to see its message",
    )
