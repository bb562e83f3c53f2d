"""An interrupted prediction resumes after the last finished group, and only if nothing that it depends on changed."""

import os

from labram.inference.partial_table import PartialTable


def begun(tmp_path, settings, names=("a", "b", "c")):
    files = [[str(tmp_path / name)] for name in names]
    return PartialTable(tmp_path / "out" / "t.csv", settings, files), files


def write(tmp_path):
    for name in "abc":
        (tmp_path / name).write_text(name, encoding="utf-8")
    table, files = begun(tmp_path, {"version": "1"})
    table.add(files[0], [{"file": "a", "p": 0.25}], {})
    table.add(files[1], [{"file": "b"}], {files[1][0]: "damaged"})
    return table


def test_finished_groups_are_found_again(tmp_path):
    table = write(tmp_path)
    again, _ = begun(tmp_path, {"version": "1"})
    assert [group["rows"] for group in again.groups] == [[{"file": "a", "p": 0.25}], [{"file": "b"}]]
    assert again.groups[1]["reasons"] == {str(tmp_path / "b"): "damaged"}
    again.add([str(tmp_path / "c")], [{"file": "c"}], {})
    assert len(begun(tmp_path, {"version": "1"})[0].groups) == 3
    table.remove()
    assert begun(tmp_path, {"version": "1"})[0].groups == []


def test_other_settings_and_other_files_begin_anew(tmp_path):
    write(tmp_path)
    assert len(begun(tmp_path, {"version": "1"}, "axc")[0].groups) == 1
    write(tmp_path)
    os.utime(tmp_path / "a", (1, 1))
    assert begun(tmp_path, {"version": "1"})[0].groups == []
    write(tmp_path)
    assert begun(tmp_path, {"version": "2"})[0].groups == []


def test_a_line_that_a_killed_process_left_half_is_dropped(tmp_path):
    table = write(tmp_path)
    with table.path.open("a", encoding="utf-8") as file:
        file.write('{"files": {"c"')
    again, files = begun(tmp_path, {"version": "1"})
    assert len(again.groups) == 2
    again.add(files[2], [{"file": "c"}], {})
    assert len(begun(tmp_path, {"version": "1"})[0].groups) == 3
