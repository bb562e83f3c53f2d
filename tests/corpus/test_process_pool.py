"""Child processes: what they give back, what they die of, and what stays of a recording whose process was killed."""

import gzip
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from labram.corpus import ingest as ingest_module
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


LIMITED = "__import__('labram.corpus.process_pool').corpus.process_pool.limited(seconds={}, memory_bytes={})"


def test_a_task_beyond_its_time_or_memory_ends_and_no_other():
    endless = f"[limit := {LIMITED.format(1, 1 << 40)}, limit.__enter__(), __import__('time').sleep(60)]"
    large = f"[limit := {LIMITED.format(60, 1 << 26)}, limit.__enter__(), bytearray(1 << 28)]"
    within = f"[{LIMITED.format(60, 1 << 26)}.__enter__(), 1]"
    started = time.monotonic()
    done = dict(map_unordered(eval, [endless, large, "len(bytearray(1 << 28))"], workers=2))
    assert done == {0: None, 1: None, 2: 1 << 28}
    assert time.monotonic() - started < 50
    assert eval(within)[1] == 1, "the calling process has no limits"


def test_a_limit_ends_with_its_part_of_a_task():
    limited = LIMITED.format(1, 1 << 26)
    parts = f"(lambda limit: [limit.__enter__(), limit.__exit__(None, None, None)])({limited})"
    after = "__import__('time').sleep(1.5), len(bytearray(1 << 28))"
    assert list(map_unordered(eval, [f"[*{parts}, {after}][-1]"], workers=1)) == [(0, 1 << 28)]


def test_an_ingest_limits_each_recording(
    monkeypatch: pytest.MonkeyPatch, write_edf: Callable[..., Path], tmp_path: Path, take_in: Callable[..., object]
):
    limits: list[dict[str, int]] = []

    def limited(**limit: int) -> nullcontext[None]:
        limits.append(limit)
        return nullcontext()

    monkeypatch.setattr(ingest_module, "limited", limited)
    path = write_edf(tmp_path / "data" / "Subject00_1.edf")
    packed = tmp_path / "data" / "Subject01_1.edf.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    take_in(tmp_path / "data")
    size = path.stat().st_size
    assert [limit["memory_bytes"] - (1 << 31) for limit in limits] == [32 * size, 320 * packed.stat().st_size]
    assert [limit["seconds"] for limit in limits] == [1800, 1800]


def test_what_killed_processes_leave_is_deleted_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A worker leaves a file and kills the ingest: neither has time to clean up."""
    code = "__import__('tempfile').mkdtemp(), __import__('os').kill(__import__('os').getppid(), 9)"
    run = f"from labram.corpus.process_pool import map_unordered; list(map_unordered(eval, [{code!r}], workers=1))"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", run], env=environment, check=False).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert list(left.iterdir())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert list(map_unordered(eval, ["__import__('tempfile').mkdtemp()"], workers=1))
    assert list(tmp_path.iterdir()) == []


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
