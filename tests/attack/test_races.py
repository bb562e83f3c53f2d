"""Commands at the same time that share a folder, and nothing else: temporary folders, homes and locks of their own."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from labram.corpus.local_ingest import published_corpora
from labram.store.store import Store
from tests.fixtures.tiny_run import LABRAM, environment

pytestmark = pytest.mark.attack
PROCESSES = 4


def start(data: Path, store: Path, home: Path, *more: str) -> "subprocess.Popen[str]":
    (home / "tmp").mkdir(parents=True)
    own = {"TMPDIR": str(home / "tmp"), "HOME": str(home), "LABRAM_SUBJECT_KEY": "the same for all"}
    return subprocess.Popen(
        [LABRAM, "corpus", "ingest", data, "--store", store, "--workers", "1", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment() | own,
    )


@pytest.mark.timeout(900)
def test_ingests_of_one_folder_into_one_store_do_each_other_no_harm(
    tmp_path: Path, write_edf: Callable[..., Path], record_property: Callable[[str, object], None]
) -> None:
    data, store = tmp_path / "data", tmp_path / "store"
    for number in range(6):
        write_edf(data / "eegmat" / f"Subject{number:02d}_1.edf", seed=number)
    other = tmp_path / "other" / "data"
    other.parent.mkdir()
    other.symlink_to(data)
    running = [start(other if number % 2 else data, store, tmp_path / f"home {number}") for number in range(PROCESSES)]
    for process in running:
        printed = process.communicate()[0]
        assert process.returncode == 0, printed
    record_property("inputs", PROCESSES)
    alone = start(data, tmp_path / "alone", tmp_path / "home")
    assert alone.wait() == 0
    ((_, expected),) = published_corpora(Store(tmp_path / "alone")).items()
    for corpus in published_corpora(Store(store)).values():
        pd.testing.assert_frame_equal(corpus.catalogue, expected.catalogue)
        pd.testing.assert_frame_equal(corpus.labels, expected.labels)
    assert all(Store(store).verify(key) for key in expected.catalogue["store_key"])
    assert sorted(path.stem for path in store.rglob("*.arrow")) == sorted(expected.catalogue["store_key"])
    assert not list(store.rglob(".*.tmp"))
