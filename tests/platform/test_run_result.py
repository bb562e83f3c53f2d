"""Results of earlier releases are read in today's words."""

import json

import pytest

from labram.errors import PlatformError
from labram.platform.run_result import read_result

GATE = {"model": "labram-gait", "name": "metric", "detail": "worse"}
OLD = {
    "run": "r", "outcome": "refused", "tasks": [{"task": "gait", "gate": "refused"}], "quarantined": [],
    "refused": [GATE], "promotions": [],
}  # fmt: skip
NEW = {
    "run": "r", "outcome": "not promoted", "tasks": [{"task": "gait", "gate": "failed", "against_baseline": "no"}],
    "quarantined": [],
    "failed_gates": [GATE], "promotions": [],
}  # fmt: skip


def test_an_old_result_is_read_in_todays_words(tmp_path) -> None:
    path = tmp_path / "result.json"
    for written in (OLD, NEW):
        path.write_text(json.dumps(written))
        assert read_result(path) == NEW


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "{}", '{"outcome": "promoted", "tasks": [1]}'])
def test_a_damaged_result_is_one_sentence(tmp_path, text) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(PlatformError, match=r"damaged\. Run again with --force"):
        read_result(tmp_path / "result.json")


def test_the_result_of_a_study_has_no_gates(tmp_path) -> None:
    study = {"run": "r", "outcome": "compared", "study": [], "quarantined": []}
    (tmp_path / "result.json").write_text(json.dumps(study))
    assert read_result(tmp_path / "result.json") == study
