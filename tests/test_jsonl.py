"""Files of JSON lines."""

import errno
import os
from pathlib import Path

import pytest

from labram.jsonl import append_rows, read_rows, write_rows


def test_rows_are_appended_and_read_back(tmp_path: Path):
    file = tmp_path / "rows.jsonl"
    append_rows(file, {"step": 1})
    append_rows(file, {"step": 2}, {"step": 3, "path": Path("x")})
    assert read_rows(file) == [{"step": 1}, {"step": 2}, {"step": 3, "path": "x"}]


def test_rows_that_the_system_writes_in_parts_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:5]))
    append_rows(tmp_path / "rows.jsonl", {"step": 1}, {"step": 2})
    monkeypatch.undo()
    assert read_rows(tmp_path / "rows.jsonl") == [{"step": 1}, {"step": 2}]


def test_a_disk_that_is_full_after_a_part_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    answers = iter([5])

    def full(descriptor: int, content: bytes) -> int:
        try:
            return next(answers)
        except StopIteration:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        append_rows(tmp_path / "rows.jsonl", {"step": 1})


def test_a_file_is_written_anew(tmp_path: Path):
    file = tmp_path / "rows.jsonl"
    append_rows(file, {"step": 1})
    write_rows(file, [{"step": 2}])
    assert file.read_text() == '{"step": 2}\n'


def test_a_line_that_is_cut_short_is_an_error(tmp_path: Path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"step": 1}\n{"st')
    with pytest.raises(ValueError, match="Unterminated"):
        read_rows(file)
