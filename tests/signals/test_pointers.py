"""A file that refers to another folder is refused: the hash of the recording would be of other bytes than are read."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pybv
import pytest

from labram.corpus.catalogue import Corpus
from labram.datasets import ADAPTERS
from labram.errors import LabelError, ReadError, Reason
from labram.signals.readers import content_files, matlab, read
from labram.signals.readers.matlab_size import require_proportionate
from labram.signals.recording import Recording

LABELS, RATE = ["Fp1", "Fp2", "C3", "C4"], 200


@pytest.fixture
def header(tmp_path: Path) -> Path:
    """A BrainVision recording, with a second one in the folder `private` beside."""
    for seed, folder in enumerate(("data", "private")):
        volts = 1e-6 * np.cumsum(np.random.default_rng(seed).standard_normal((len(LABELS), 10 * RATE)), axis=1)
        pybv.write_brainvision(
            data=volts, sfreq=RATE, ch_names=LABELS, fname_base="a", folder_out=tmp_path / folder, events=None
        )
    return tmp_path / "data" / "a.vhdr"


@pytest.mark.parametrize(("entry", "named"), [("DataFile", "a.eeg"), ("MarkerFile", "a.vmrk")])
@pytest.mark.parametrize("place", ["../private/", "{absolute}/", "..\\private\\"])
def test_a_brainvision_header_that_names_a_file_elsewhere_is_refused(
    header: Path, take_in: Callable[..., tuple[object, Corpus]], entry: str, named: str, place: str
) -> None:
    elsewhere = place.format(absolute=header.parents[1] / "private") + named
    header.write_text(
        header.read_text(encoding="utf-8").replace(f"{entry}={named}", f"{entry}={elsewhere}"), encoding="utf-8"
    )
    (row,) = take_in(header.parent)[1].catalogue.to_dict("records")
    assert list(row["reasons"]) == ["outside_folder"]
    with pytest.raises(ReadError, match=f"{entry} lies outside"):
        read(header)


def test_only_the_section_that_brainvision_defines_names_its_files(header: Path) -> None:
    header.write_text(
        header.read_text(encoding="utf-8").replace("[Common Infos]", "[Comment]\nDataFile=a.vmrk\n\n[Common Infos]"),
        encoding="utf-8",
    )
    assert [part.name for part in content_files(header)] == ["a.vhdr", "a.eeg", "a.vmrk"]


def link(file: h5py.File, other: Path) -> None:
    file["group/data"] = h5py.ExternalLink(str(other), "data")


def storage(file: h5py.File, other: Path) -> None:
    file.create_dataset("group/data", shape=(4,), dtype="f8", external=[(str(other), 2048, 32)])


def virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(other), "data", shape=(4,))
    file.create_virtual_dataset("group/data", layout)


def own(file: h5py.File, other: Path) -> None:
    del other
    file["group/data"] = np.arange(4.0)
    file["again"] = h5py.SoftLink("/group")
    file["group/circle"] = file["group"]


def hdf5(path: Path, fill: Callable[[h5py.File, Path], None]) -> Path:
    """Write a MATLAB 7.3 file, whose HDF5 part is behind 512 bytes."""
    other = path.with_name("other.h5")
    with h5py.File(other, "w") as file:
        file["data"] = np.arange(4.0)
    with h5py.File(path, "w", userblock_size=512) as file:
        fill(file, other)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return path


@pytest.mark.parametrize("fill", [link, storage, virtual])
def test_hdf5_data_in_another_file_are_refused(tmp_path: Path, fill: Callable[[h5py.File, Path], None]) -> None:
    with pytest.raises(ReadError) as of_variables:
        matlab.read_variables(hdf5(tmp_path / "a.mat", fill), "group")
    with pytest.raises(ReadError) as of_recording:
        read(hdf5(tmp_path / "a.set", fill))
    assert of_variables.value.reason is of_recording.value.reason is Reason.OUTSIDE


def test_hdf5_data_of_its_own_are_read(tmp_path: Path) -> None:
    def data(file: h5py.File, other: Path) -> None:
        del other
        file["data"] = np.arange(4.0)

    found = matlab.read_variables(hdf5(tmp_path / "a.mat", data), "data")
    np.testing.assert_array_equal(found["data"], np.arange(4.0))
    with pytest.raises(ReadError) as caught:
        read(hdf5(tmp_path / "a.set", own))
    assert caught.value.reason is Reason.UNREADABLE


def test_a_matlab_file_whose_size_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.mat", own)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(ReadError) as caught:
        require_proportionate(path)
    assert caught.value.reason is Reason.UNREADABLE


def test_a_behavioural_table_in_another_file_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "cueing" / "subject1" / "session1"
    folder.mkdir(parents=True)
    (folder / "a.csv").touch()

    def output(file: h5py.File, other: Path) -> None:
        file["output"] = h5py.ExternalLink(str(other), "data")

    hdf5(folder / "a_behOutput.mat", output)
    (file,) = ADAPTERS["muse"].recordings(tmp_path)
    with pytest.raises(LabelError, match="cannot be read"):
        ADAPTERS["muse"].labels(file, Recording(np.zeros((1, 200)), ("Fp1",), 200.0))
