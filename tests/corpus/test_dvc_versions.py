"""Corpus versions: DVC's where it vouches for the folder, a fingerprint elsewhere; any commit's corpus, anywhere."""

import contextlib
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from labram.corpus import dvc_versions
from labram.corpus.version_diff import VersionDiff, diff_versions
from labram.errors import CorpusError, PlatformError
from labram.events import NullMonitor
from labram.simulation.simulate import Size, simulate

TINY = Size(patients=1, participants=1, walkers=1, sessions=1, events=1, trials=1, walk_seconds=10)


_in_a_process = dvc_versions._dvc


def _in_this_process(folder: Path, *arguments: str, check: bool = True) -> str | None:
    """What `dvc_versions._dvc` does, without the imports of a process."""
    from dvc.cli import main

    with contextlib.chdir(folder), redirect_stdout(io.StringIO()) as output, redirect_stderr(io.StringIO()):
        code = main(list(arguments))
    if check and code:
        raise PlatformError(f"dvc {arguments[0]} failed with exit code {code}", file=arguments[-1], remedy="")
    return None if code else output.getvalue()


@pytest.fixture(scope="module", autouse=True)
def _few_processes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_NO_ANALYTICS", "1")
        patch.setenv("DVC_TEST", "1")  # it leaves standard output where it is
        patch.setattr(dvc_versions, "_dvc", _in_this_process)
        yield


def dvc(project: Path, *arguments: str) -> str:
    return _in_this_process(project, *arguments) or ""


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project whose simulated corpus is under DVC."""
    monkeypatch.setattr(
        "labram.simulation.simulate.simulate", lambda out, *, monitor: simulate(out, size=TINY, monitor=monitor)
    )
    dvc(tmp_path, "init", "--no-scm", "-q")
    simulate(tmp_path / "data", size=TINY)
    dvc(tmp_path, "add", "-q", "data")
    return tmp_path


def remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(0o755)
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def test_the_version_is_dvcs_own_while_the_folder_is_what_it_recorded(project) -> None:
    version = dvc_versions.corpus_version(project / "data", ())
    assert version.endswith(".dir")
    assert version in (project / "data.dvc").read_text()
    (project / "data" / "sim_lab" / "more.txt").write_text("changed")
    assert dvc_versions.corpus_version(project / "data", ()).startswith("sha256-")


def test_data_come_back_from_the_cache(project) -> None:
    remove(project / "data")
    dvc_versions.checkout(project / "data.dvc", NullMonitor())
    assert dvc(project, "status", "data.dvc").strip().endswith("up to date.")


def test_without_cache_and_remote_they_are_simulated_again_and_checked(project) -> None:
    remove(project / "data")
    remove(project / ".dvc" / "cache")
    recorded = (project / "data.dvc").read_text()
    dvc_versions.checkout(project / "data.dvc", NullMonitor())
    assert (project / "data.dvc").read_text() == recorded
    assert dvc(project, "status", "data.dvc").strip().endswith("up to date.")


def test_another_simulation_is_refused(project, monkeypatch) -> None:
    remove(project / "data")
    remove(project / ".dvc" / "cache")
    monkeypatch.setattr(
        "labram.simulation.simulate.simulate", lambda out, *, monitor: simulate(out, seed=1, size=TINY, monitor=monitor)
    )
    recorded = (project / "data.dvc").read_text()
    with pytest.raises(CorpusError, match=r"not the one that data\.dvc records"):
        dvc_versions.checkout(project / "data.dvc", NullMonitor())
    assert (project / "data.dvc").read_text() == recorded


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FIRST = {
    "lab/a.edf": b"a",
    "lab/a.edf.event": b"events of a",
    "lab/b.edf": b"b",
    "lab/sub/c.vhdr": b"header",
    "lab/sub/c.eeg": b"samples",
    "lab/sub/d.mff/signal1.bin": b"d",
    "lab/labels.tsv": b"table",
}
SECOND = {
    "lab/a.edf": b"a",
    "lab/a.edf.event": b"other events of a",
    "lab/sub/c.vhdr": b"header",
    "lab/sub/c.eeg": b"other samples",
    "lab/sub/d.mff/signal1.bin": b"d",
    "lab/sub/d.mff/signal2.bin": b"more of d",
    "lab/labels.tsv": b"other table",
    "clinic/e.bdf": b"e",
}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text)
    return folder


def two_versions(folder: Path, remote: str) -> Path:
    """A repository whose tags v1 and v2 are two versions of a corpus, pushed to a remote; and a bare clone of it."""
    project = folder / "project"
    project.mkdir(parents=True)
    git(project, "init", "--quiet")
    dvc_versions.add(write(folder / "first", FIRST) / "lab", project, NullMonitor())
    dvc(project, "remote", "add", "--default", "store", remote)
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message", "first")
    git(project, "tag", "v1")
    dvc(project, "push", "--quiet")
    (project / "data" / "lab" / "b.edf").unlink()
    for name in ("lab", "clinic"):
        dvc_versions.add(write(folder / "second", SECOND) / name, project, NullMonitor())
    git(project, "commit", "--quiet", "--all", "--message", "second")
    git(project, "tag", "v2")
    dvc(project, "push", "--quiet")
    git(folder, "clone", "--quiet", "--bare", "project", "bare.git")
    return project


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """Both, with a remote that is a folder. Tests do not change it."""
    folder = tmp_path_factory.mktemp("versions")
    return two_versions(folder, str(folder / "remote"))


def bare(repository: Path) -> str:
    return (repository.parent / "bare.git").as_uri()


def test_what_is_added_is_a_version_that_git_keeps(repository) -> None:
    assert dvc_versions.committed_version(repository) == dvc_versions.recorded_version(repository / "data.dvc")
    assert dvc_versions.committed_version(repository, "v1") != dvc_versions.committed_version(repository, "v2")
    assert dvc_versions.status(repository) == "clean"
    assert content(repository / "data") == SECOND


def test_the_tree_has_the_version_that_dvc_gives_it(repository) -> None:
    assert dvc_versions.tree_version(repository / "data") == dvc_versions.committed_version(repository)


def test_the_difference_is_told_in_recordings(repository) -> None:
    found = diff_versions(dvc_versions.file_hashes(repository, "v1"), dvc_versions.file_hashes(repository, "v2"))
    assert found.added == ("clinic/e.bdf",)
    assert found.removed == ("lab/b.edf",)
    assert found.changed == ("lab/a.edf", "lab/sub/c.vhdr", "lab/sub/d.mff")
    assert found.others == ("lab/labels.tsv",)


def test_a_version_does_not_differ_from_itself() -> None:
    files = {name: str(text) for name, text in FIRST.items()}
    assert diff_versions(files, files) == VersionDiff((), (), (), ())


@pytest.mark.parametrize(("rev", "files"), [("v1", FIRST), ("v2", SECOND), (None, SECOND)])
def test_the_corpus_of_a_commit_comes_without_a_working_copy(repository, tmp_path, rev, files) -> None:
    version = dvc_versions.pull(tmp_path / "pod" / "data", repository=bare(repository), rev=rev)
    assert content(tmp_path / "pod" / "data") == files
    assert version == dvc_versions.committed_version(repository, rev or "HEAD")
    assert [path.name for path in (tmp_path / "pod").iterdir()] == ["data"]


def test_own_files_are_never_replaced(repository, tmp_path) -> None:
    own = write(tmp_path / "data", {"mine.edf": b"mine"})
    with pytest.raises(CorpusError, match="no version"):
        dvc_versions.pull(own, repository=bare(repository), rev="v1")
    assert content(own) == {"mine.edf": b"mine"}


def test_a_working_copy_goes_from_version_to_version(repository, tmp_path, monkeypatch) -> None:
    """With DVC in processes of its own."""
    monkeypatch.setattr(dvc_versions, "_dvc", _in_a_process)
    git(tmp_path, "clone", "--quiet", str(repository), "clone")
    clone = tmp_path / "clone"
    assert dvc_versions.status(clone) == "absent"
    dvc_versions.checkout(clone / "data.dvc", NullMonitor())
    assert content(clone / "data") == SECOND
    dvc_versions.pull(clone / "data", repository=str(clone), rev="v1")
    assert content(clone / "data") == FIRST
    assert dvc_versions.status(clone) == "changed"
    dvc_versions.pull(clone / "data", repository=str(clone), rev="v2")
    assert dvc_versions.status(clone) == "clean"


def test_a_commit_that_is_not_there_is_one_clear_error(repository, tmp_path) -> None:
    with pytest.raises(PlatformError, match="--rev nowhere"):
        dvc_versions.pull(tmp_path / "data", repository=bare(repository), rev="nowhere")
    with pytest.raises(CorpusError, match="committed at nowhere"):
        dvc_versions.file_hashes(repository, "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_what_is_damaged_on_the_way_does_not_take_the_folders_place(repository, tmp_path) -> None:
    remote, clone = tmp_path / "remote", tmp_path / "clone"
    shutil.copytree(repository.parent / "remote", remote)
    (path,) = (path for path in remote.rglob("*") if path.is_file() and path.read_bytes() == SECOND["clinic/e.bdf"])
    path.chmod(0o644)
    path.write_bytes(b"E")
    git(tmp_path, "clone", "--quiet", bare(repository), "clone")
    dvc(clone, "remote", "modify", "store", "url", str(remote))
    git(clone, "commit", "--quiet", "--all", "--message", "another remote")
    with pytest.raises(CorpusError, match="damaged in the remote"):
        dvc_versions.pull(tmp_path / "data", repository=clone.as_uri())
    assert not (tmp_path / "data").exists()


def test_the_remote_may_be_a_bucket(bucket, tmp_path) -> None:
    project = two_versions(tmp_path / "here", f"{bucket}/corpus")
    shutil.rmtree(project / ".dvc" / "cache")
    assert dvc_versions.pull(tmp_path / "pod", repository=bare(project), rev="v1").endswith(".dir")
    assert content(tmp_path / "pod") == FIRST


def test_a_name_that_dvc_cannot_keep_is_told_before_anything_is_copied(tmp_path) -> None:
    odd = write(tmp_path / "odd", {os.fsdecode(b"M\xfcller.edf"): b"a"})
    with pytest.raises(CorpusError, match="UTF-8"):
        dvc_versions.add(odd, tmp_path / "project", NullMonitor())
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize("target", ["nowhere", "/dev/zero"])
def test_what_is_no_file_is_told_before_anything_is_copied(tmp_path, target) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.edf").write_bytes(b"a")
    (tmp_path / "mine" / "b.edf").symlink_to(target)
    with pytest.raises(CorpusError, match=r"b\.edf: not a regular file"):
        dvc_versions.add(tmp_path / "mine", tmp_path, NullMonitor())
    assert not (tmp_path / "data").exists()


def test_a_revision_is_never_an_option_of_git(repository, tmp_path) -> None:
    with pytest.raises(CorpusError, match="is committed at"):
        dvc_versions.committed_version(repository, f"--output={tmp_path}/written")
    assert not list(tmp_path.glob("written*"))


def test_a_link_into_dvcs_cache_is_replaced_and_not_written_through(tmp_path) -> None:
    cache = write(tmp_path / "cache", {"ab": b"old"})
    project = tmp_path / "project"
    (project / "data" / "lab").mkdir(parents=True)
    (project / "data" / "lab" / "a.edf").symlink_to(cache / "ab")
    dvc_versions.add(write(tmp_path / "lab", {"a.edf": b"new"}), project, NullMonitor())
    assert content(cache) == {"ab": b"old"}
    assert content(project / "data") == {"lab/a.edf": b"new"}


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_out_of_the_folder_is_refused_before_anything_is_copied(tmp_path, kind) -> None:
    private = write(tmp_path / "private", {"key": b"secret"})
    mine = write(tmp_path / "mine", {"a.edf": b"a"})
    (mine / "b.edf").symlink_to(private / "key" if kind == "file" else private)
    with pytest.raises(CorpusError, match=r"b\.edf.*: a link leads out of the folder"):
        dvc_versions.add(mine, tmp_path / "project", NullMonitor())
    assert not (tmp_path / "project").exists()


def test_a_link_out_of_the_corpus_is_refused_though_it_is_hidden(tmp_path) -> None:
    private = write(tmp_path / "private", {"key": b"secret"})
    lab = write(tmp_path / "project" / "data" / "lab", {"a.edf": b"a"})
    (lab / ".b").symlink_to(private / "key")
    with pytest.raises(CorpusError, match=r"\.b: a link leads out of the folder"):
        dvc_versions.add(write(tmp_path / "more", {"c.edf": b"c"}), tmp_path / "project", NullMonitor())
    assert not (tmp_path / "project" / "data" / "more").exists()


def test_links_within_the_folder_and_into_the_stores_of_its_repository_are_followed(tmp_path) -> None:
    repository = write(tmp_path / "study", {"raw/a.edf": b"a", ".git/annex/objects/b": b"b"})
    (repository / "raw" / "b.edf").symlink_to("../.git/annex/objects/b")
    (repository / "raw" / "c.edf").symlink_to("a.edf")
    project = tmp_path / "project"
    project.mkdir()
    dvc_versions.add(repository / "raw", project, NullMonitor())
    assert content(project / "data") == {"raw/a.edf": b"a", "raw/b.edf": b"b", "raw/c.edf": b"a"}
