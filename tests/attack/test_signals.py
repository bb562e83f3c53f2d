"""SIGINT, SIGTERM and SIGHUP to an ingest at several moments: it ends, with its workers; the next one finishes it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from labram.corpus.local_ingest import published_corpora
from labram.store.store import Store
from tests.fixtures.tiny_run import LABRAM, environment

pytestmark = pytest.mark.attack
RECORDINGS = 8
MOMENTS = (0, 1, 3, RECORDINGS - 1, RECORDINGS)
"""Numbers of recordings in the store."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("signals")


@pytest.fixture
def data(folder: Path, write_edf: Callable[..., Path]) -> Path:
    if not (folder / "data").exists():
        for number in range(RECORDINGS):
            write_edf(folder / "data" / "eegmat" / f"Subject{number:02d}_1.edf", seed=number, seconds=60, rate=500)
    return folder / "data"


def start(data: Path, store: Path) -> "subprocess.Popen[str]":
    (store.parent / "tmp").mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [LABRAM, "corpus", "ingest", data, "--store", store, "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment() | {"LABRAM_SUBJECT_KEY": "the same for all", "TMPDIR": str(store.parent / "tmp")},
        start_new_session=True,
        preexec_fn=heed_signals,
    )


def heed_signals() -> None:
    """Undo what `nohup` and background jobs of a shell make processes ignore."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def finished(data: Path, store: Path) -> pd.DataFrame:
    process = start(data, store)
    printed = process.communicate()[0]
    assert process.returncode == 0, printed
    ((_, corpus),) = published_corpora(Store(store)).items()
    assert all(Store(store).verify(key) for key in corpus.catalogue["store_key"])
    assert list((store.parent / "tmp").glob("labram-*")) == []
    return corpus.catalogue


@pytest.fixture(scope="module")
def whole() -> list[pd.DataFrame]:
    """The catalogue of an ingest without a signal, once it is there."""
    return []


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_an_ingest_that_a_signal_ends_is_finished_by_the_next(
    data: Path, folder: Path, tmp_path: Path, whole: list[pd.DataFrame], number: signal.Signals, moment: int
) -> None:
    if not whole:
        whole.append(finished(data, folder / "whole" / "store"))
    store = tmp_path / "store"
    process = start(data, store)
    while process.poll() is None and len(list(store.rglob("*.arrow"))) < moment:
        time.sleep(0.005)
    process.send_signal(number)
    printed = process.communicate(timeout=60)[0]
    assert process.returncode in (-number, 128 + number), printed
    assert "Traceback" not in printed
    deadline = time.monotonic() + 60
    while running(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(process.pid), "its workers end with it"
    pd.testing.assert_frame_equal(finished(data, store), whole[0])


def running(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
