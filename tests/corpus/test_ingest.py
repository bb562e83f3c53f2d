import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from labram.corpus import process_recording
from labram.corpus.catalogue import Corpus
from labram.corpus.ingest import IngestResult
from labram.corpus.scan import Item, fingerprint, scan
from labram.datasets import ADAPTERS
from labram.datasets import base as adapters
from labram.datasets.base import RecordingFile
from labram.datasets.eegmat import Eegmat
from labram.recipe import PreprocessingRecipe
from labram.signals.recording import Recording
from labram.store.store import Store

WriteEdf = Callable[..., Path]
TakeIn = Callable[..., tuple[IngestResult, Corpus]]


@pytest.fixture
def eegmat(tmp_path: Path, write_edf: WriteEdf) -> Path:
    folder = tmp_path / "data" / "eegmat"
    for subject in range(3):
        for part in (1, 2):
            write_edf(folder / f"Subject{subject:02d}_{part}.edf", seed=10 * subject + part, patient="Canaria")
    return folder


def assert_same(one: Corpus, other: Corpus) -> None:
    pd.testing.assert_frame_equal(one.catalogue, other.catalogue)
    pd.testing.assert_frame_equal(one.labels, other.labels)


def reasons(corpus: Corpus) -> list[str]:
    rows = corpus.quarantined()
    assert all(len(row) == 1 for row in rows["reasons"])
    return sorted(row[0] for row in rows["reasons"])


def test_a_recording_becomes_a_row_an_entry_of_the_store_and_labels(
    eegmat: Path, take_in: TakeIn, tmp_path: Path
) -> None:
    done, corpus = take_in(eegmat)
    assert (done.recordings, done.quarantined, done.reused, done.seconds) == (6, 0, 0, 60)
    row = corpus.catalogue.iloc[0]
    assert row["montage"] == ["FP1", "FP2", "C3", "C4", "O1", "O2"]
    assert (row["dataset"], row["format"], row["rate_hz"], row["mains_hz"]) == ("eegmat", "edf", 100.0, 50.0)
    assert row["unit"] == "µV"
    assert Store(tmp_path / "store").patches(row["store_key"]).shape == (10, 6, 200)
    assert 10 < row["median_sd_uv"] < 25
    assert sorted(label[0] for label in corpus.labels["label"]) == [0, 0, 0, 1, 1, 1]
    assert set(corpus.labels["seconds"]) == {10.0}
    assert corpus.catalogue["subject_key"].nunique() == 3


def test_what_cannot_be_used_is_a_row_with_a_reason(eegmat: Path, take_in: TakeIn, write_edf: WriteEdf) -> None:
    good = (eegmat / "Subject00_1.edf").read_bytes()
    (eegmat / "Subject10_1.edf").write_bytes(b"")
    (eegmat / "Subject11_1.edf").write_bytes(b"0       " + b"\xff" * 5000)
    (eegmat / "Subject12_1.edf").write_bytes(good[:100])
    (eegmat / "Subject13_1.edf").symlink_to(eegmat / "nowhere.edf")
    (eegmat / "Subject14_1.nwb").write_bytes(b"HDF")
    write_edf(eegmat / "Subject15_1.edf", channels=("ECG", "SpO2"))
    done, corpus = take_in(eegmat)
    assert done.recordings == len(corpus.accepted()) + len(corpus.quarantined()) == 12
    assert len(corpus.accepted()) == 6
    found = reasons(corpus)
    assert len(found) == 6
    assert {"unreadable", "unsupported_format", "no_canonical_channels", "damaged"} <= set(found)


def test_a_file_that_may_not_be_read_is_a_row_too(
    eegmat: Path, take_in: TakeIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = Path.open

    def refuse(path: Path, *arguments: object, **keywords: object) -> object:
        if path.name == "Subject01_2.edf":
            raise PermissionError(13, "Permission denied")
        return allowed(path, *arguments, **keywords)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    _, corpus = take_in(eegmat)
    assert reasons(corpus) == ["unreadable"]
    assert len(corpus.accepted()) == 5


def test_a_recording_that_makes_labram_fail_ends_nothing(
    eegmat: Path, take_in: TakeIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = adapters.read

    def fail_once(path: Path, *, unit_scale: float) -> object:
        if path.name == "Subject01_1.edf":
            raise ZeroDivisionError
        return sound(path, unit_scale=unit_scale)

    monkeypatch.setattr(adapters, "read", fail_once)
    _, corpus = take_in(eegmat)
    assert reasons(corpus) == ["unprocessable"]
    monkeypatch.undo()
    assert reasons(take_in(eegmat)[1]) == []


@pytest.mark.parametrize("meanwhile", ["another recording", "rubbish", "nothing"])
def test_what_changes_while_it_is_read_is_refused_and_not_kept_under_the_old_hash(
    eegmat: Path, take_in: TakeIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    path = eegmat / "Subject01_1.edf"
    before, sound = path.read_bytes(), adapters.read
    after = {"another recording": (eegmat / "Subject00_1.edf").read_bytes(), "rubbish": b"rubbish", "nothing": None}

    def change_first(given: Path, *, unit_scale: float) -> object:
        if given == path:
            path.unlink()
            if (content := after[meanwhile]) is not None:
                path.write_bytes(content)
        return sound(given, unit_scale=unit_scale)

    monkeypatch.setattr(adapters, "read", change_first)
    _, corpus = take_in(eegmat)
    assert reasons(corpus) == ["unreadable"]
    assert len(list((tmp_path / "store").rglob("*.arrow"))) == 5
    monkeypatch.undo()
    path.write_bytes(before)
    done, again = take_in(eegmat)
    assert (done.reused, reasons(again)) == (5, [])


def test_the_second_time_costs_hashing_only(eegmat: Path, take_in: TakeIn, monkeypatch: pytest.MonkeyPatch) -> None:
    (eegmat / "Subject12_1.edf").write_bytes(b"not EDF")
    _, first = take_in(eegmat)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a known recording was read again")

    monkeypatch.setattr(adapters, "read", never)
    done, second = take_in(eegmat)
    assert done.reused == done.recordings == 7
    assert_same(first, second)


def test_new_labels_cost_no_filters(eegmat: Path, take_in: TakeIn, monkeypatch: pytest.MonkeyPatch) -> None:
    take_in(eegmat)
    monkeypatch.setattr(process_recording, "preprocess", None)
    (eegmat / "Subject00_1.edf").rename(eegmat / "Subject00_2x.edf")
    done, corpus = take_in(eegmat)
    assert done.reused == 5
    assert len(corpus.accepted()) == 6


def test_editing_an_adapter_invalidates_the_metadata_of_its_recordings_only(
    eegmat: Path, take_in: TakeIn, write_edf: WriteEdf, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_edf(eegmat.parent / "other" / "a.edf", seed=99)
    take_in(eegmat.parent)
    monkeypatch.setattr(Eegmat, "code_version", lambda *_: "edited")
    done, _ = take_in(eegmat.parent)
    assert (done.recordings, done.reused) == (7, 1)


def test_one_new_recording_costs_one_recording(eegmat: Path, take_in: TakeIn, write_edf: WriteEdf) -> None:
    take_in(eegmat)
    write_edf(eegmat / "Subject03_1.edf", seed=77)
    done, _ = take_in(eegmat)
    assert (done.recordings, done.reused) == (7, 6)


def test_a_damaged_store_entry_is_made_again(eegmat: Path, take_in: TakeIn, tmp_path: Path) -> None:
    _, corpus = take_in(eegmat)
    store = Store(tmp_path / "store")
    key = str(corpus.catalogue["store_key"][2])
    before = store.patches(key).copy()
    store.path(key).write_bytes(store.path(key).read_bytes()[:500])
    done, again = take_in(eegmat)
    assert done.reused == 5
    assert np.array_equal(Store(tmp_path / "store").patches(key), before)
    assert_same(again, corpus)


def test_shards_are_disjoint_and_together_everything(eegmat: Path, take_in: TakeIn) -> None:
    _, whole = take_in(eegmat)
    parts = [take_in(eegmat, shard=shard, shards=4)[1] for shard in range(4)]
    merged = Corpus.merged(parts)
    assert_same(merged, Corpus.merged([whole]))


def test_more_shards_than_recordings_leave_some_empty(eegmat: Path, take_in: TakeIn) -> None:
    done, corpus = take_in(eegmat, shard=8, shards=9)
    assert done.recordings == len(corpus.catalogue) == 0


def test_a_missing_label_is_a_warning_and_the_recording_stays(
    eegmat: Path, take_in: TakeIn, write_edf: WriteEdf
) -> None:
    write_edf(eegmat / "Subject09_9.edf", seed=99)
    _, corpus = take_in(eegmat)
    warned = corpus.catalogue[corpus.catalogue["warnings"].map(len) > 0]
    assert warned["warnings"].tolist() == [["missing_label"]]
    assert warned["verdict"].tolist() == ["accepted"]


def test_the_same_bytes_under_another_name_keep_their_own_label(eegmat: Path, take_in: TakeIn) -> None:
    (eegmat / "Subject08_2.edf").write_bytes((eegmat / "Subject00_1.edf").read_bytes())
    _, corpus = take_in(eegmat)
    twins = corpus.catalogue[corpus.catalogue["content_hash"].duplicated(keep=False)]
    assert len(twins) == 2
    assert len(set(twins["store_key"])) == 1
    labels = corpus.labels[corpus.labels["recording_id"].isin(twins["recording_id"])]
    assert sorted(label[0] for label in labels["label"]) == [0, 1]


def test_folders_that_are_not_used_are_told(eegmat: Path, take_in: TakeIn, write_edf: WriteEdf) -> None:
    write_edf(eegmat.parent / "private" / "a.edf")
    done, _ = take_in(eegmat.parent, ("eegmat",))
    assert done.unused == ("private",)
    assert "private" not in str(done), "names of folders stay in memory"


def test_no_name_of_file_subject_or_patient_is_written(eegmat: Path, take_in: TakeIn, tmp_path: Path) -> None:
    take_in(eegmat)
    written = [path for place in ("store", "shards") for path in (tmp_path / place).rglob("*") if path.is_file()]
    assert len(written) >= 14
    for path in written:
        content = path.read_bytes()
        for name in (b"Canaria", b"Subject0", b"eegmat/"):
            assert name not in content, path.name


def test_the_fingerprint_is_of_content_and_place(eegmat: Path, tmp_path: Path, write_edf: WriteEdf) -> None:
    first = fingerprint(eegmat)
    assert fingerprint(eegmat.parent) == first
    (eegmat / "Subject00_1.edf").touch()
    assert fingerprint(eegmat) == first
    (eegmat / "Subject02_2.edf").rename(eegmat / "Subject05_2.edf")
    renamed = fingerprint(eegmat)
    write_edf(eegmat / "Subject00_1.edf", seed=1234)
    assert len({first, renamed, fingerprint(eegmat)}) == 3


def test_the_largest_recordings_come_first(eegmat: Path, write_edf: WriteEdf) -> None:
    write_edf(eegmat / "Subject30_1.edf", seconds=30)
    assert scan(eegmat)[0].relative_path == "Subject30_1.edf"


@dataclass(frozen=True)
class Endless:
    """Samples that are made when they are read."""

    shape: tuple[int, int]

    def read(self, picks: Sequence[int], start: int, stop: int) -> np.ndarray:
        return 20 * np.sin(np.arange(start, stop, dtype=np.float32) / np.arange(9, 9 + len(picks))[:, None])


def test_a_long_recording_is_taken_in_in_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    channels, rate, hours = ("FP1", "FP2", "C3", "C4", "O1", "O2"), 512, 2
    recording = Recording(Endless((len(channels), 3600 * hours * rate)), channels, rate)
    dataset = ADAPTERS["folder"]
    monkeypatch.setattr(type(dataset), "read", lambda *_: recording)
    item = Item(dataset, tmp_path, RecordingFile("folder", tmp_path / "a.edf", "a"))
    store = Store(tmp_path / "store")
    tracemalloc.start()
    found = process_recording.process_recording(item, store, "key", PreprocessingRecipe())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found["row"]["verdict"], store.seconds("key")) == ("accepted", 3600 * hours)
    assert peak < 40e6, "the recording has 88 MB as float32"
