"""Files that state, or unpack to, far more than they have: refused in little time, memory and disk."""

import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pybv
import pytest
from scipy.io import savemat

from labram.corpus.catalogue import Corpus
from labram.corpus.scan import hash_sidecars, scan
from labram.datasets import find
from labram.datasets.base import list_files
from labram.errors import ReadError, Reason
from labram.signals.readers import matlab, read
from labram.signals.readers.limits import is_sparse

RATE, LABELS = 200, ("Fp1", "Fp2", "C3", "C4")


def reason(path: Path) -> Reason:
    with pytest.raises(ReadError) as caught:
        read(path)
    return caught.value.reason


def hdf5_bomb(path: Path) -> None:
    """Write a dataset of 4 GB that was never written: it has no bytes in the file."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("EEG/data", (64, 1 << 23), "f8", chunks=(64, 1024))
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def matlab5_bomb(path: Path) -> None:
    savemat(path, {"data": np.zeros((4, 1 << 22), np.float64)}, appendmat=False, do_compression=True)


@pytest.mark.parametrize("write", [hdf5_bomb, matlab5_bomb])
def test_matlab_files_that_unpack_to_more_than_a_hundred_times_their_size(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    write(tmp_path / "a.set")
    assert (tmp_path / "a.set").stat().st_size < 1 << 20
    assert reason(tmp_path / "a.set") is Reason.DAMAGED
    with pytest.raises(ReadError, match="more than 100 times"):
        matlab.read_variables(tmp_path / "a.set", "data")


LIMITED = """
import sys
from pathlib import Path
from labram.signals.readers.isolated_reader import _limit_memory
_limit_memory(Path(sys.argv[1]))
bytearray(500 << 20)
try:
    bytearray(1200 << 20)
except MemoryError:
    print("limited")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not count what is allocated")
def test_a_process_that_reads_has_limited_memory(tmp_path: Path) -> None:
    (tmp_path / "a.set").write_bytes(bytes(100))
    done = subprocess.run([sys.executable, "-c", LIMITED, tmp_path / "a.set"], capture_output=True, text=True)
    assert done.stdout == "limited\n", done.stderr


@pytest.fixture
def header(tmp_path: Path) -> Path:
    volts = 1e-5 * np.random.default_rng(0).standard_normal((len(LABELS), 10 * RATE))
    pybv.write_brainvision(
        data=volts, sfreq=RATE, ch_names=list(LABELS), fname_base="a", folder_out=tmp_path / "data",
        events=np.array([[RATE, 4]]),
    )  # fmt: skip
    return tmp_path / "data" / "a.vhdr"


def test_a_sample_in_four_seconds_is_refused_before_the_store_has_any(
    tmp_path: Path, header: Path, take_in: Callable[..., tuple[object, Corpus]]
) -> None:
    text = header.read_text(encoding="utf-8")
    assert "SamplingInterval=5000" in text
    header.write_text(text.replace("SamplingInterval=5000", "SamplingInterval=4000000"), encoding="utf-8")
    (row,) = take_in(header.parent)[1].catalogue.to_dict("records")
    assert list(row["reasons"]) == ["low_rate"]
    assert not list(tmp_path.rglob("*.arrow"))


def test_a_header_larger_than_any_is_not_loaded(header: Path) -> None:
    os.truncate(header, 1 << 30)
    assert reason(header) is Reason.DAMAGED


@pytest.mark.parametrize("name", ["a.vhdr", "a.eeg", "b.edf"])
def test_a_sparse_file_is_not_read_to_its_end(
    header: Path, take_in: Callable[..., tuple[object, Corpus]], name: str, write_edf: Callable[..., Path]
) -> None:
    """A terabyte of zeros that was never written takes no space, and an hour to hash."""
    path = write_edf(header.with_name("b.edf")) if name == "b.edf" else header.with_name(name)
    os.truncate(path, 1 << 40)
    rows = take_in(header.parent)[1].catalogue
    assert rows[rows["reasons"].map(len) > 0]["reasons"].map(list).tolist() == [["damaged"]]


def test_a_sparse_file_of_labels_is_not_read_to_its_end(tmp_path: Path, write_edf: Callable[..., Path]) -> None:
    write_edf(tmp_path / "S001" / "S001R04.edf")
    (item,) = scan(tmp_path)
    labels = tmp_path / "labels.tsv"
    labels.write_text("x")
    os.truncate(labels, 1 << 40)
    bound = replace(item, dataset=copy(item.dataset))
    bound.dataset.sidecars = lambda file: [labels]
    assert hash_sidecars(bound) == hash_sidecars(bound)


def test_pieces_of_a_large_file_that_were_written_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.edf"
    with path.open("wb") as file:
        for piece in range(8):
            file.seek(piece << 24)
            file.write(bytes(1 << 20))
    os.truncate(path, 1 << 27)
    assert not is_sparse(path), "an eighth of it was"
    os.truncate(path, 1 << 33)
    assert is_sparse(path)


@pytest.mark.parametrize("name", ["a.vhdr", "a.vmrk", "b.lay", "c.csv", "d.mat"])
def test_pipes_are_not_opened(header: Path, name: str) -> None:
    path = header.with_name(name)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    assert reason(header if name == "a.vmrk" else path) in (Reason.UNREADABLE, Reason.UNSUPPORTED)
    assert find(header.parent, ())


@pytest.fixture
def _little_recursion() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 200)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("_little_recursion")
def test_folders_are_searched_at_any_depth(tmp_path: Path, write_edf: Callable[..., Path]) -> None:
    write_edf(tmp_path / "data" / "a.edf")
    deepest = tmp_path / "data" / Path(*["d"] * 300)
    for folder in (*reversed(deepest.parents), deepest):  # `parents=True` recurses
        folder.mkdir(exist_ok=True)
    try:
        (deepest / "b.edf").write_bytes(b"0")
        assert [path.name for path in list_files(tmp_path / "data")] == ["a.edf", "b.edf"]
        ((dataset, folder),) = find(tmp_path / "data", ())
        assert len(list(dataset.recordings(folder))) == 2
        (deepest / "b.edf").unlink()
    finally:
        os.removedirs(deepest)  # recursion would fail, as that of `shutil.rmtree` does
