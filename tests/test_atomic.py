"""Atomic replacement: the old content or the new, and no leftovers."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from labram import atomic
from labram.atomic import atomic_folder, atomic_path


def listing(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_replaced_only_at_the_end(tmp_path: Path):
    file = tmp_path / "file.json"
    file.write_text("old")
    with atomic_path(file) as temporary:
        temporary.write_text("new")
        assert file.read_text() == "old"
        assert temporary.parent == tmp_path
    assert listing(tmp_path) == {"file.json": "new"}


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    file = tmp_path / "file.json"
    file.write_text("old")
    with suppress(KeyboardInterrupt), atomic_path(file) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert listing(tmp_path) == {"file.json": "old"}


def test_nothing_written_is_an_error_and_leaves_the_old_file(tmp_path: Path):
    file = tmp_path / "file.json"
    file.write_text("old")
    with pytest.raises(FileNotFoundError), atomic_path(file):
        pass
    assert listing(tmp_path) == {"file.json": "old"}


def test_a_file_system_that_cannot_flush_folders_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def flush_files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", flush_files_only)
    with atomic_path(tmp_path / "file.json") as temporary:
        temporary.write_text("new")
    assert listing(tmp_path) == {"file.json": "new"}


def test_a_folder_is_replaced_whole(tmp_path: Path):
    folder = tmp_path / "folder"
    for content in ("old", "new"):
        with atomic_folder(folder) as temporary:
            (temporary / "sub").mkdir(parents=True)
            (temporary / "sub" / content).write_text(content)
    assert listing(tmp_path) == {"folder/sub/new": "new"}
    assert list(tmp_path.iterdir()) == [folder]


def test_an_error_leaves_the_old_folder_and_nothing_else(tmp_path: Path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_text("old")
    with suppress(OSError), atomic_folder(folder) as temporary:
        temporary.mkdir()
        (temporary / "file").write_text("half")
        raise OSError("full")
    assert listing(tmp_path) == {"folder/file": "old"}
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_reader_finds_the_old_or_the_new_folder_at_any_time(tmp_path: Path, monkeypatch, exchanges: bool):
    """Without the exchange of names there is an instant without either, but no error that leaves none."""
    folder, seen = tmp_path / "folder", []
    folder.mkdir()
    (folder / "old").touch()
    if not exchanges:
        monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda *names: (rename(*names), seen.append(folder.exists())))
    with atomic_folder(folder) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert listing(tmp_path) == {"folder/new": ""}
    assert list(tmp_path.iterdir()) == [folder]
    assert seen == ([] if exchanges else [False, True])


def test_a_new_folder_that_cannot_take_the_place_of_the_old_one_leaves_it(tmp_path: Path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").touch()
    rename = Path.rename

    def fail(path: Path, target: Path) -> None:
        if target == folder and not path.joinpath("old").exists():
            raise OSError("full")
        rename(path, target)

    monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="full"), atomic_folder(folder) as temporary:
        temporary.mkdir()
    assert listing(tmp_path) == {"folder/old": ""}
    assert list(tmp_path.iterdir()) == [folder]


def test_an_exchange_that_is_not_allowed_is_an_error(tmp_path: Path):
    (tmp_path / "one").mkdir()
    with pytest.raises(FileNotFoundError):
        atomic._exchange(tmp_path / "one", tmp_path / "absent")
