"""Windows and recordings of the published code become a folder with a dataset file; nothing of a pickle is run."""

import os
import pickle
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from labram.datasets.stated.file_dataset import FileDataset
from labram.datasets.stated.pickled_window import read_window
from labram.datasets.stated.published_files import TUH_CHANNELS, import_published
from labram.errors import CorpusError


def window(path: Path, content: object, protocol: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_windows_become_trials_with_subjects_splits_and_labels(tmp_path: Path, protocol: int) -> None:
    data = np.random.default_rng(0).standard_normal((4, 23, 2000))
    for number, (split, name) in enumerate([("train", "aaaa_s1_t0"), ("val", "bbbb_s1_t0"), ("test", "cccc_s2_t0")]):
        for index in (10, 2):
            content = {"X": data[number], "y": number % 2} if number else {"signal": data[index // 4], "label": [0]}
            window(tmp_path / "processed" / split / f"{name}-{index}.pkl", content, protocol)
    done = import_published(tmp_path / "processed", tmp_path / "out", "mine")
    assert (done.recordings, done.windows) == (3, 6)
    dataset = FileDataset.load(tmp_path / "out")
    files = sorted(dataset.recordings(dataset.folder), key=lambda file: file.subject)
    assert [(x.subject, x.session, x.split) for x in files] == [
        ("aaaa", "s1_t0", "train"), ("bbbb", "s1_t0", "validation"), ("cccc", "s2_t0", "test"),
    ]  # fmt: skip
    recording = dataset.read(files[0])
    assert (recording.channels, recording.sfreq, recording.filtered) == (TUH_CHANNELS, 200.0, True)
    np.testing.assert_allclose(recording.read([3], 0, 4000)[0], [*data[0, 3], *data[2, 3]], rtol=1e-6)  # 2 before 10
    assert [span.label for span in dataset.labels(files[1], dataset.read(files[1]))] == [(1.0,), (1.0,)]


def test_a_subject_in_two_splits_of_the_published_code_is_split_anew(tmp_path: Path) -> None:
    for split in ("train", "val"):
        window(tmp_path / split / "aaaa_s1_t0-0.pkl", {"X": np.zeros((23, 200)), "y": split == "val"})
    done = import_published(tmp_path, tmp_path / "out", "mine")
    assert done.doubts[1] == "1 subjects have recordings in two splits: the splits are drawn anew, by subject"
    assert FileDataset.load(tmp_path / "out").stated.split is None


class Harmful:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


def test_a_pickle_with_code_is_an_error_and_the_code_is_not_run(tmp_path: Path) -> None:
    harmful = window(tmp_path / "in" / "a_s_t-0.pkl", {"X": Harmful(tmp_path / "harm"), "y": 0})
    with pytest.raises(CorpusError, match=r"not a window of arrays and plain values \((posix|nt)\.mkdir\)"):
        import_published(tmp_path / "in", tmp_path / "out", "mine")
    assert not (tmp_path / "harm").exists()
    assert not (tmp_path / "out").exists()
    for content in (b"", b"\x80\x05K", pickle.dumps({"X": [1.0]}), pickle.dumps([1])):
        harmful.write_bytes(content)
        with pytest.raises(CorpusError, match=r"a damaged window|not a window"):
            read_window(harmful)
    window(harmful, {"X": np.zeros((5, 200)), "y": 0})
    with pytest.raises(CorpusError, match=r"the shape \(5, 200\); 23 channels are expected"):
        import_published(tmp_path / "in", tmp_path / "out", "mine")


class Stated:
    """Pickles as a call of a function with arguments, and a state."""

    def __init__(self, *reduced: object) -> None:
        self.reduced = reduced

    def __reduce__(self) -> tuple[object, ...]:
        return self.reduced


def test_arrays_over_addresses_in_memory_are_not_made(tmp_path: Path) -> None:
    """`numpy.ndarray(shape, object, bytes)` takes bytes for pointers: touching the result crashes, or runs code."""
    fields = {"a": (np.dtype("O"), 0)}
    forged = Stated(np.dtype, ("f8", False, True), (3, "|", None, ("a",), fields, 8, 1, 0))
    shape, content = (23, 200), b"\x41" * 8 * 23 * 200
    for dtype in (np.dtype("O"), np.dtype([("a", "O")]), forged):
        path = window(tmp_path / "a_s_t-0.pkl", {"X": Stated(np.ndarray, (shape, dtype, content)), "y": 0})
        with pytest.raises(CorpusError, match=r"a damaged window|not a window"):
            read_window(path)


@pytest.mark.parametrize("opcodes", [b"r\xff\xff\xff\x7f", b"\x96" + b"\xff" * 5 + bytes(3) + b"1"])
def test_a_pickle_takes_no_more_memory_than_its_size(tmp_path: Path, opcodes: bytes) -> None:
    path = tmp_path / "a_s_t-0.pkl"
    path.write_bytes(b"\x80\x05}" + opcodes + b".")  # a memo of 2³¹ entries; a buffer of a terabyte
    tracemalloc.start()
    with pytest.raises(CorpusError, match=r"a damaged window|not a window"):
        read_window(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_pipes_and_links_out_are_not_imported(tmp_path: Path) -> None:
    folder = tmp_path / "processed"
    window(folder / "train" / "aaaa_s1_t0-0.pkl", {"X": np.zeros((23, 200)), "y": 0})
    os.mkfifo(folder / "train" / "aaaa_s1_t0-1.pkl")
    (folder / "train" / "aaaa_s1_t0-2.pkl").symlink_to(window(tmp_path / "private.pkl", {"X": np.ones((23, 200))}))
    assert import_published(folder, tmp_path / "out", "mine").windows == 1


def test_recordings_in_hdf5_stay_continuous_and_of_one_montage(tmp_path: Path) -> None:
    data = np.random.default_rng(0).standard_normal((3, 900)).astype(np.float32)
    with h5py.File(tmp_path / "set.hdf5", "w") as file:
        for name in ("S1 rest", "S2 rest"):
            eeg = file.create_dataset(f"{name}/eeg", data=data)
            eeg.attrs.update(lFreq=0.1, hFreq=75.0, rsFreq=200, chOrder=["FP1", "CZ", "OZ"])
    done = import_published(tmp_path, tmp_path / "out", "mine")
    assert (done.recordings, done.windows) == (2, 0)
    dataset = FileDataset.load(tmp_path / "out")
    one, two = dataset.recordings(dataset.folder)
    assert (one.subject, two.subject) == ("S1", "S2")
    recording = dataset.read(two)
    assert (recording.channels, recording.trial_samples) == (("FP1", "CZ", "OZ"), 0)
    np.testing.assert_array_equal(recording.read(range(3)), data)
    with h5py.File(tmp_path / "set.hdf5", "a") as file:
        file["S2 rest/eeg"].attrs["chOrder"] = ["FP1", "CZ", "PZ", "OZ"]
    with pytest.raises(CorpusError, match=r"4 channels for the shape \(3, 900\)"):
        import_published(tmp_path, tmp_path / "again", "mine")
    with h5py.File(tmp_path / "set.hdf5", "a") as file:
        file["S2 rest/eeg"].attrs["chOrder"] = ["FP1", "CZ", "PZ"]
    with pytest.raises(CorpusError, match=r"S2 rest has other channels .* than set\.hdf5/S1 rest"):
        import_published(tmp_path, tmp_path / "again", "mine")
