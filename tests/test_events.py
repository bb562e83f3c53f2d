"""Steps speak through one line an event; errors are announced and go on."""

import json
import traceback

import pytest

from labram import events, logs
from labram.errors import CorpusError, LabramError, ReadError, Reason


@pytest.fixture
def lines(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv("LABRAM_EVENTS", str(path))
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


def test_a_step_tells_start_progress_and_end(lines) -> None:
    with events.step("ingest 0/2") as step:
        step.progress(5, 5, loss=0.25)
    told = lines()
    assert [event["event"] for event in told] == ["started", "progress", "finished"]
    assert told[1] | {"time": 0} == {
        "event": "progress", "time": 0, "step": "ingest 0/2", "done": 5, "total": 5, "metrics": {"loss": 0.25}
    }  # fmt: skip


def test_progress_is_throttled_but_the_last_report_is_not(lines) -> None:
    with events.step("tokenizer") as step:
        for done in range(1, 1001):
            step.progress(done, 1000)
    reports = [event for event in lines() if event["event"] == "progress"]
    assert len(reports) < 100
    assert reports[-1]["done"] == 1000


def test_a_users_error_is_announced_in_its_own_words(lines) -> None:
    with pytest.raises(CorpusError), events.step("resolve"):
        raise CorpusError("there is no EEG", file="x", remedy="Give another folder")
    assert lines()[-1]["text"] == "x: there is no EEG. Give another folder."


def test_an_unexpected_error_is_announced_with_its_type(lines) -> None:
    with pytest.raises(KeyError), events.step("resolve"):
        raise KeyError("montage")
    assert lines()[-1]["text"] == "KeyError: 'montage'"


@pytest.mark.parametrize(
    "error",
    [
        CorpusError("there is no EEG", file="/raw/Anna M/x.edf", remedy="Give another folder"),
        FileNotFoundError(2, "No such file or directory", "/raw/Anna M/x.edf"),
    ],
)
def test_paths_within_the_corpus_are_not_announced(lines, monkeypatch, error) -> None:
    monkeypatch.setenv(logs.CORPUS_VARIABLE, "/raw/Anna M")
    with pytest.raises(type(error)) as caught, events.step("resolve"):
        raise error from OSError(error)
    assert "--data" in lines()[-1]["text"]
    assert "Anna" not in lines()[-1]["text"]
    assert isinstance(error, OSError) or "Anna" not in "".join(traceback.format_exception(caught.value))


def test_errors_survive_the_way_back_from_a_worker_process() -> None:
    import pickle

    error = ReadError("bad", reason=Reason.DAMAGED, remedy="Copy it again", file="a.edf", field="header")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.reason) == (ReadError, str(error), Reason.DAMAGED)
    assert isinstance(copy, LabramError)
