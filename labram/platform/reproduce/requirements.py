"""What a reproduction needs, and what of it is missing here."""

import hashlib
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from labram import git
from labram.corpus import dvc_versions
from labram.datasets.registry import is_simulated
from labram.errors import LabramError
from labram.platform.doctor.finding import Finding, failed, passed, warned
from labram.platform.reproduce.original import Original
from labram.tracking import lineage
from labram.training import hardware

DVC_SUFFIX = ".dir"


def check(original: Original, repository: Path, data: Path | None, *, ask_index: bool = False) -> Iterator[Finding]:
    """Check source, environment, corpus, subject key and hardware; an *error* makes the reproduction impossible.

    Args:
        original: The original.
        repository: Clone that has the commit.
        data: Folder of the corpus; None: that of the commit's ``data.dvc``.
        ask_index: Ask the package index whether it still has all packages of the lock file, if they must be installed.
    """
    yield _command(original)
    yield _source(original, repository)
    yield _environment(original, repository, ask_index=ask_index)
    yield _corpus(original, repository, data)
    yield _subject_key(original)
    yield _hardware(original)


def same_environment(original: Original, repository: Path) -> bool:
    """Return whether the packages of this process are those of the original's lock file."""
    lock = _lock_hash(original, repository)
    return original.tags.get("environment_hash") == lineage.environment_hash() or lock == lineage.lock_hash() != ""


def reasons_for_tolerance(original: Original, here: Mapping[str, object] | None = None) -> list[str]:
    """Return why a machine may round differently; none means that only equal bits are equal.

    Args:
        original: The original.
        here: Hardware of the rerun's trainings, see `labram.training.hardware`; None: this machine.
    """
    here, there = here or hardware.describe(), _recorded_hardware(original)
    reasons = [
        f"{key}: {there[key]} there, {here[key]} here"
        for key in sorted(here)
        if key in there and there[key] != here[key]
    ]
    for key, value in (("platform", f"{platform.system()} {platform.machine()}"), ("torch", _torch())):
        if original.tags.get(key, value) != value:
            reasons.append(f"{key}: {original.tags[key]} there, {value} here")
    return reasons


def _command(original: Original) -> Finding:
    if not original.command:
        pipeline = original.tags.get("pipeline", "")
        return failed("pipeline", f"{pipeline} registers no models", "Run the study again with --force")
    return passed("pipeline", f"labram {original.command}")


def _source(original: Original, repository: Path) -> Finding:
    commit, dirty = original.commit, original.tags.get("git_dirty", "")
    if not commit:
        return failed("source", "the commit of the original is not known", "Only its code digest identifies it")
    if git.git(repository, "cat-file", "-e", f"{commit}^{{commit}}") is None:
        return failed("source", f"commit {commit[:12]} is not in this clone", "Run git fetch, or name --repository")
    if dirty == "true" and not original.diff:
        return failed("source", f"commit {commit[:12]} had uncommitted changes, and no patch of them was kept", "–")
    if original.diff and lineage.short_hash(original.diff) != original.tags.get("diff_hash"):
        return failed(
            "source",
            "the patch of its uncommitted changes is not the one that the run recorded: it was altered",
            "A patch is code that would run here: ask those who may write to the registry",
        )
    if dirty == "unknown":
        return warned("source", f"commit {commit[:12]}; whether it had changes is not known", "Compare code_version")
    return passed("source", f"commit {commit[:12]}" + (", with its uncommitted changes" if original.diff else ""))


def _environment(original: Original, repository: Path, *, ask_index: bool) -> Finding:
    if same_environment(original, repository):
        return passed("environment", "this one: its packages are those of the original's lock file")
    if not _lock_hash(original, repository):
        return failed("environment", f"the commit has no {lineage.LOCK_FILE}", "Install its packages by hand")
    detail = f"must be built from the {lineage.LOCK_FILE} of the commit"
    if ask_index:
        if problem := _not_served(git.git(repository, "show", f"{original.commit}:{lineage.LOCK_FILE}") or ""):
            remedy = "Use an index that has it (PIP_INDEX_URL, PIP_FIND_LINKS), or the platform of the original"
            return failed("environment", f"{detail}, and no package index serves it: {problem}", remedy)
        return warned("environment", f"{detail}; the package index serves all of it", "It takes some minutes")
    return warned("environment", detail, "The package index must still serve these versions")


def _corpus(original: Original, repository: Path, data: Path | None) -> Finding:
    wanted = original.tags.get("corpus_version", "")
    if data is None:
        try:
            found = dvc_versions.committed_version(repository, original.commit)
        except LabramError as error:
            found = f"none: {error.problem}"
        remedy = f"Give --data FOLDER, a copy of corpus {wanted}"
    else:
        datasets = tuple(original.recipe.get("corpus", {}).get("datasets", ()))
        try:
            found = (
                dvc_versions.tree_version(data)
                if wanted.endswith(DVC_SUFFIX)
                else dvc_versions.fingerprint_version(data, datasets)
            )
        except LabramError as error:
            found = f"none: {error.problem}"
        remedy = "Give the folder that the original was trained on"
    if found != wanted:
        return failed("corpus", f"version {found}, but the original used {wanted}", remedy)
    if data is None and not dvc_versions.is_available(repository, original.commit):
        detail = f"version {wanted}: neither DVC's cache nor a remote has it"
        if not all(map(is_simulated, original.recipe.get("corpus", {}).get("datasets", ()) or ("real",))):
            return failed("corpus", detail, remedy)
        return warned("corpus", f"{detail}; it will be simulated again", remedy)
    return passed("corpus", f"version {wanted}")


def _subject_key(original: Original) -> Finding:
    if original.subject_key is None:
        detail = "not in the original's workspace: pseudonyms are compared up to renaming"
        return warned("subject key", detail, "Set LABRAM_SUBJECT_KEY to the original's, if you have it")
    return passed("subject key", "read from the original's workspace; it is not copied")


def _hardware(original: Original) -> Finding:
    reasons = reasons_for_tolerance(original)
    if reasons:
        return warned("hardware", "; ".join(reasons), "Results are compared within a tolerance")
    return passed("hardware", "the original's: results must be bit-equal")


def _lock_hash(original: Original, repository: Path) -> str:
    """Return the digest of the commit's lock file, as `labram.tracking.lineage.lock_hash` computes it."""
    text = git.git(repository, "show", f"{original.commit}:{lineage.LOCK_FILE}")
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12] if text else ""


def _not_served(lock: str) -> str:
    """Return what pip cannot find of a lock file; "" if it finds everything."""
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary, lineage.LOCK_FILE)
        file.write_text(lock, encoding="utf-8", errors="surrogateescape")
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet"]
        done = subprocess.run(
            [*command, "--requirement", str(file)], capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
    return "" if done.returncode == 0 else (lines or ["pip failed"])[-1].removeprefix("ERROR: ")


def _recorded_hardware(original: Original) -> dict[str, object]:
    texts = (version.tags.get("hardware", "") for version in original.versions)
    return dict(json.loads(next(filter(None, texts), "{}")))


def _torch() -> str:
    from importlib.metadata import version

    return version("torch")
