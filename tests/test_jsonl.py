"""Files of JSON lines."""

from pathlib import Path

import pytest

from labram.jsonl import append_rows, read_rows, write_rows


def test_rows_are_appended_and_read_back(tmp_path: Path):
    file = tmp_path / "rows.jsonl"
    append_rows(file, {"step": 1})
    append_rows(file, {"step": 2}, {"step": 3, "path": Path("x")})
    assert read_rows(file) == [{"step": 1}, {"step": 2}, {"step": 3, "path": "x"}]


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
