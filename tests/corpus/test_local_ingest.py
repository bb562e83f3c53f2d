"""Folders taken into a store without the DAG: once, again, and by several processes at the same time."""

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from labram.corpus import ingest as at_work
from labram.corpus import local_ingest
from labram.corpus.catalogue import Corpus
from labram.corpus.ingest import ingest
from labram.corpus.local_ingest import FolderIngest, ingest_folder, published_corpora
from labram.errors import PlatformError, StoreError
from labram.events import NullMonitor
from labram.input_spec import SAMPLE_RATE_HZ
from labram.recipe import PreprocessingRecipe, Recipe, load
from labram.signals.preprocessing import preprocess
from labram.signals.readers import read
from labram.signals.readers.isolated_reader import ReaderFailed
from labram.store.store import Store

WriteEdf = Callable[..., Path]
SPAWN = get_context("spawn")


@pytest.fixture
def data(tmp_path: Path, write_edf: WriteEdf) -> Path:
    for number in range(6):
        write_edf(tmp_path / "data" / "eegmat" / f"Subject{number:02d}_1.edf", seed=number)
    (tmp_path / "data" / "eegmat" / "Subject07_1.edf").write_bytes(b"")
    return tmp_path / "data"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load("demo")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def brought(data: Path, store: Store, recipe: Recipe, workers: int = 0) -> FolderIngest:
    return ingest_folder(data, (), store, recipe=recipe, workers=workers, monitor=NullMonitor())


def entries(store: Store) -> list[str]:
    return sorted(path.stem for path in store.root.rglob("*.arrow"))


def test_the_second_time_there_is_nothing_to_do(data: Path, store: Store, recipe: Recipe) -> None:
    first = brought(data, store, recipe)
    assert (first.summary.recordings, first.summary.accepted, first.reused) == (7, 6, 0)
    assert first.quarantined == [(Path("eegmat/Subject07_1.edf"), ["damaged"])]
    again = brought(data, store, recipe)
    assert again.reused == again.summary.recordings == 7
    assert (again.summary, again.quarantined) == (first.summary, first.quarantined)


def test_a_refused_recording_that_is_gone_meanwhile_is_named_all_the_same(
    data: Path, store: Store, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = at_work.process_recording

    def remove(*arguments: object, **keywords: object) -> object:
        (data / "eegmat" / "Subject07_1.edf").unlink(missing_ok=True)
        return sound(*arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(at_work, "process_recording", remove)
    done = brought(data, store, recipe)
    assert done.summary.recordings == done.summary.accepted + len(done.quarantined) == 7


def test_one_new_recording_costs_one_recording(data: Path, store: Store, recipe: Recipe, write_edf: WriteEdf) -> None:
    brought(data, store, recipe)
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*.arrow")}
    write_edf(data / "eegmat" / "Subject09_1.edf", seed=9)
    done = brought(data, store, recipe)
    assert (done.summary.recordings, done.reused) == (8, 7)
    after = {path: path.stat().st_mtime_ns for path in store.root.rglob("*.arrow")}
    assert len(after) == len(before) + 1
    assert before.items() <= after.items()


def test_any_window_is_what_ingest_computed(
    tmp_path: Path, store: Store, recipe: Recipe, write_edf: WriteEdf, rng: np.random.Generator
) -> None:
    path = write_edf(tmp_path / "data" / "long.edf", seconds=65, rate=256)
    brought(tmp_path / "data", store, recipe)
    blocks = preprocess(read(path), range(6), line_freq_hz=50.0, back_end=recipe.preprocessing.back_end)
    signal = np.concatenate(list(blocks), axis=1).astype(np.float16)
    (key,) = entries(store)
    for seconds in (1, 4, 16):
        for start in rng.integers(0, signal.shape[1] - seconds * SAMPLE_RATE_HZ, size=20):
            window = store.read(key, int(start), seconds)
            expected = signal[:, start : start + seconds * SAMPLE_RATE_HZ].astype(np.float32)
            assert window.reshape(6, -1).tobytes() == expected.tobytes()


def test_the_number_of_workers_does_not_matter(
    data: Path, tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABRAM_SUBJECT_KEY", "the same for both")
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    brought(data, one, recipe)
    brought(data, two, recipe, workers=2)
    ((name, alone),) = published_corpora(one).items()
    pd.testing.assert_frame_equal(alone.catalogue, published_corpora(two)[name].catalogue)
    pd.testing.assert_frame_equal(alone.labels, published_corpora(two)[name].labels)
    assert entries(one) == entries(two)


def test_two_processes_with_one_corpus_do_its_work_once(data: Path, store: Store, recipe: Recipe) -> None:
    with ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
        running = [pool.submit(brought, data, store, recipe) for _ in range(2)]
        done = [future.result() for future in running]
    assert sorted(each.reused for each in done) == [0, 7]
    assert done[0].summary == done[1].summary
    ((_, corpus),) = published_corpora(store).items()
    assert corpus.catalogue["recording_id"].is_unique
    assert entries(store) == sorted(corpus.accepted()["store_key"])


def _ingest(data: Path, store: Store, out: Path) -> None:
    ingest(
        data,
        (),
        out,
        store=store,
        preprocessing=PreprocessingRecipe(),
        shard=0,
        shards=1,
        subject_key=b"key",
        monitor=NullMonitor(),
        workers=0,
    )


def test_processes_that_do_not_know_of_each_other_do_no_harm(data: Path, store: Store, tmp_path: Path) -> None:
    parts = [tmp_path / "part 0", tmp_path / "part 1"]
    with ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
        for future in [pool.submit(_ingest, data, store, part) for part in parts]:
            future.result()
    one, other = (Corpus.load(part) for part in parts)
    pd.testing.assert_frame_equal(one.catalogue, other.catalogue)
    assert entries(store) == sorted(one.accepted()["store_key"])
    assert all(store.verify(key) for key in entries(store))
    assert list(store.root.rglob("*.tmp")) == []


def test_a_corpus_without_anything_usable_is_counted_all_the_same(tmp_path: Path, store: Store, recipe: Recipe) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.edf").write_bytes(b"not EDF at all")
    done = brought(tmp_path / "data", store, recipe)
    assert (done.summary.recordings, done.summary.accepted, len(done.quarantined)) == (1, 0, 1)


def test_folders_are_corpora_of_their_own_and_their_names_are_not_kept(
    data: Path, store: Store, recipe: Recipe, tmp_path: Path, write_edf: WriteEdf
) -> None:
    write_edf(tmp_path / "Ada_Lovelace" / "Byron.edf", seed=20)
    brought(data, store, recipe)
    brought(tmp_path / "Ada_Lovelace", store, recipe)
    assert sorted(len(corpus.catalogue) for corpus in published_corpora(store).values()) == [1, 7]
    for path in store.root.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not any(name in content + str(path.relative_to(store.root)).encode() for name in (b"Ada", b"Byron"))


def test_the_shared_store_wants_a_shared_key(
    data: Path, recipe: Recipe, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PlatformError, match="LABRAM_SUBJECT_KEY"):
        brought(data, Store(bucket), recipe)
    monkeypatch.setenv("LABRAM_SUBJECT_KEY", "secret")
    assert brought(data, Store(bucket), recipe).summary.accepted == 6
    (corpus,) = published_corpora(Store(bucket)).values()
    assert len(corpus.accepted()) == 6
    assert json.loads((next((Store(bucket).root / "corpora").rglob("summary.json"))).read_text())["accepted"] == 6


def test_a_store_that_cannot_be_written_is_a_store_error(
    data: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABRAM_SUBJECT_KEY", "secret")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        brought(data, Store(tmp_path / "file" / "store"), recipe)


def test_lost_channels_are_counted_and_their_labels_are_stored_nowhere(
    tmp_path: Path, write_edf: WriteEdf, store: Store, recipe: Recipe
) -> None:
    known = ("Fp1", "Fp2", "C3", "C4", "O1", "O2")
    for name, lost in (("whole", 0), ("part", 14), ("most", 16)):
        labels = (*known, *(f"Zeldovich{number}" for number in range(lost)), "ECG")
        write_edf(tmp_path / "data" / f"{name}.edf", seed=lost, channels=labels)
    done = brought(tmp_path / "data", store, recipe)
    assert [(path.name, list(reasons)) for path, reasons in done.quarantined] == [("most.edf", ["channels_lost"])]
    rows = done.corpus.catalogue
    assert sorted(code for codes in rows["warnings"] for code in codes) == ["lost_channels=14", "lost_channels=16"]
    assert [(lost.example.name, lost.recordings, lost.channels) for lost in done.lost] == [
        ("part.edf", 1, 14),
        ("most.edf", 1, 16),
    ]
    assert done.lost[0].labels == tuple(f"Zeldovich{number}" for number in range(14))
    files = [path for path in store.root.rglob("*") if path.is_file()]
    assert files
    assert not any(b"Zeldovich" in path.read_bytes() for path in files)


@pytest.mark.parametrize("error", [ReaderFailed("killed"), PermissionError()])
def test_labels_that_cannot_be_read_again_are_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def fail(_: Path) -> None:
        raise error

    monkeypatch.setattr(local_ingest, "read", fail)
    assert local_ingest._lost_labels(tmp_path / "a.set") == ()
