"""Every opening of test recordings is a line, and a score states how many there are."""

import json

import pandas as pd

from labram.evaluation.test_uses import log_use


def rows(*contents):
    return pd.DataFrame({"content_hash": contents, "subject_key": [f"s{content}" for content in contents]})


def test_uses_of_the_same_recordings_for_the_same_task_are_counted(tmp_path):
    log = tmp_path / "uses.jsonl"
    assert log_use(log, rows("a", "b"), task="x", purpose="evaluate", run="r1") == 1
    assert log_use(log, rows("b", "a"), task="x", purpose="champion", run="r2") == 2
    assert log_use(log, rows("a", "b"), task="y", purpose="evaluate", run="r2") == 1
    assert log_use(log, rows("a", "c"), task="x", purpose="evaluate", run="r3") == 1
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["purpose"] for line in lines] == ["evaluate", "champion", "evaluate", "evaluate"]
    assert (lines[0]["subjects"], lines[0]["recordings"], lines[0]["run"]) == (2, 2, "r1")
    assert "s" + "a" not in log.read_text().replace("subjects", "").replace("test_set", "")
