"""Child processes: what they give back, what they die of, and what stays of a recording whose process was killed."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from labram.corpus import process_pool as module
from labram.corpus.catalogue import Corpus
from labram.corpus.ingest import IngestResult
from labram.corpus.process_pool import map_unordered
from labram.errors import PlatformError, StoreError
from labram.store.store import Store

DIE = "__import__('os').kill(__import__('os').getpid(), 9)"
ABORT = "__import__('os').abort()"
OUT_OF_MEMORY = "bytearray(1 << 60)"


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_every_task_gives_its_result(workers: int):
    done = dict(map_unordered(os.path.basename, [f"folder/{name}" for name in "abcdefgh"], workers=workers))
    assert done == dict(enumerate("abcdefgh"))


def test_no_tasks_need_no_processes():
    assert list(map_unordered(len, [], workers=2)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_process_that_dies_takes_one_task_along(workers: int):
    tasks = ["1", DIE, "3", "1/0", "5", ABORT, OUT_OF_MEMORY, DIE, "9", DIE]
    done = dict(map_unordered(eval, tasks, workers=workers))
    assert done == {0: 1, 2: 3, 4: 5, 8: 9, **dict.fromkeys([1, 3, 5, 6, 7, 9])}


def test_what_a_library_prints_is_not_seen(capfd: pytest.CaptureFixture[str]):
    assert list(map_unordered(eval, ["print('Canaria')", "__import__('os').write(2, b'Canaria')"], workers=1))
    assert capfd.readouterr() == ("", "")


def test_errors_of_ours_end_the_work_and_its_processes(tmp_path: Path):
    with pytest.raises(StoreError, match="no such entry"):
        list(map_unordered(Store(tmp_path).patches, ["key", "other"], workers=2))


def test_work_that_is_given_up_is_stopped():
    results = map_unordered(eval, ["1", "__import__('time').sleep(60)"], workers=2)
    started = time.monotonic()
    assert next(results) == (0, 1)
    results.close()
    assert time.monotonic() - started < 30


def test_processes_that_cannot_begin_are_not_the_recordings_fault(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(module, "_SERVE", "import nowhere")
    with pytest.raises(PlatformError, match="before it was ready"):
        list(map_unordered(len, ["a", "b"], workers=2))
    assert "No module named 'nowhere'" in capfd.readouterr().err


def test_a_recording_whose_process_is_killed_is_refused_and_all_others_are_done(
    tmp_path: Path, write_edf: Callable[..., Path], take_in: Callable[..., tuple[IngestResult, Corpus]]
):
    folder = tmp_path / "data" / "eegmat"
    names = tuple(f"{row}{column}" for row in "FCP" for column in "12345")
    noise = np.random.default_rng(0).standard_normal((len(names), 5000)) * 20
    write_edf(folder / "Subject00_1.edf", channels=names, rate=500, signals=np.tile(noise, (1, 240)))
    for subject in range(1, 5):
        write_edf(folder / f"Subject0{subject}_1.edf", seed=subject)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(take_in, folder, workers=2)
        _kill_the_writer_of(tmp_path / "store", at_least=100_000)
        done, corpus = running.result()
    assert (done.recordings, done.quarantined) == (5, 1)
    (refused,) = corpus.quarantined().itertuples()
    assert list(refused.reasons) == ["unprocessable"]
    assert refused.bytes > 10e6
    store = Store(tmp_path / "store")
    assert all(store.verify(key) for key in corpus.accepted()["store_key"])
    assert len(list(store.root.rglob("*.arrow"))) == 4, "nothing half-written has an entry's name"
    again, corpus = take_in(folder, workers=1)
    assert (again.reused, again.quarantined) == (4, 0)
    assert store.seconds(corpus.accepted()["store_key"][corpus.accepted()["bytes"].idxmax()]) == 2400


def _kill_the_writer_of(store: Path, *, at_least: int) -> None:
    """Send SIGKILL to the process that is writing an entry and has written that many bytes of it."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for file in store.glob("*/.*.tmp"):
            if file.exists() and file.stat().st_size > at_least:
                os.kill(_holder(file), signal.SIGKILL)
                return
        time.sleep(0.001)
    raise AssertionError("no entry was being written")


def _holder(file: Path) -> int:
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if link.readlink() == file and int(link.parts[2]) != os.getpid():
                return int(link.parts[2])
        except OSError:
            continue
    raise AssertionError("nobody holds the file any more")
