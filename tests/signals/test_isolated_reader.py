"""Recordings whose library may crash are read by another process, which comes and goes with them."""

import gc
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
from antio.libeep import pyeep

from labram.errors import ReadError, Reason
from labram.signals.readers import read
from labram.signals.readers.isolated_reader import ReaderFailed

RATE = 100
SIGNAL = np.random.default_rng(3).normal(scale=20.0, size=(2, 5 * RATE))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    channels = pyeep.create_channel_info()
    for label in ("Fp1", "Cz"):
        pyeep.add_channel(channels, label, "CPz", "uV")
    handle = pyeep.write_cnt(str(tmp_path / "a.cnt"), RATE, channels, 0)
    pyeep.add_samples(handle, SIGNAL.T.ravel().tolist(), 2)
    pyeep.close(handle)
    return tmp_path / "a.cnt"


def readers() -> list[psutil.Process]:
    gc.collect()
    return [child for child in psutil.Process().children() if "labram.signals.readers" in child.cmdline()]


def test_the_process_ends_with_its_recording(path):
    recording = read(path)
    assert len(readers()) == 1
    np.testing.assert_allclose(recording.read([1], 7, 9), SIGNAL[1:, 7:9], atol=0.01)
    assert recording.read([0, 1], 5, 5).shape == (2, 0)
    del recording
    assert not readers()


def test_scaled_samples_keep_it_alive(path):
    recording = read(path, unit_scale=2.0)
    np.testing.assert_allclose(recording.read([0, 1]), 2.0 * SIGNAL, atol=0.02)


def test_a_crash_while_samples_are_read_refuses_the_file(path):
    recording = read(path)
    (process,) = readers()
    process.send_signal(signal.SIGSEGV)
    with pytest.raises(ReadError, match=r"a\.cnt.*its library crashes") as refused:
        recording.read([0])
    assert refused.value.reason is Reason.UNREADABLE


def test_a_process_that_is_killed_says_nothing_about_the_file(path):
    """As by a machine that runs out of memory: an ingest must not remember the recording as damaged."""
    recording = read(path)
    (process,) = readers()
    process.kill()
    with pytest.raises(ReaderFailed, match="ended with -9"):
        recording.read([0])


def test_after_an_interrupted_reading_no_other_samples_are_taken_for_those_asked(path, monkeypatch):
    recording = read(path)
    monkeypatch.setattr("multiprocessing.connection.Connection.poll", interrupt)
    with pytest.raises(KeyboardInterrupt):
        recording.read([0], 0, 10)
    monkeypatch.undo()
    with pytest.raises(ReaderFailed, match="interrupted"):
        recording.read([0], 100, 110)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_modules_of_the_current_folder_are_not_taken_for_ours(path, tmp_path, monkeypatch):
    (tmp_path / "mne.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    assert read(path).samples == 5 * RATE


def test_a_refusal_leaves_no_process_behind(path):
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ReadError):
        read(path)
    assert not readers()
