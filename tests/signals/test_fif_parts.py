"""A FIF recording in several files, as MNE writes it above 2 GB, is one recording of which all files count."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import mne
import numpy as np
import pytest

from labram.corpus.catalogue import Corpus
from labram.corpus.scan import hash_content
from labram.errors import ReadError, Reason
from labram.signals.readers import content_files, read

RATE, SECONDS, LABELS = 200, 500, ["Fp1", "Fp2", "C3", "C4", "O1", "O2"]
NAMES = {
    "neuromag": ["a_raw.fif", "a_raw-1.fif", "a_raw-2.fif"],
    "bids": ["a_split-01_raw.fif", "a_split-02_raw.fif", "a_split-03_raw.fif"],
}
Naming = Literal["neuromag", "bids"]


def signal() -> np.ndarray:
    """Return volts [channels, samples]."""
    steps = np.cumsum(np.random.default_rng(4).standard_normal((len(LABELS), RATE * SECONDS)), axis=1)
    return (20e-6 * (steps - steps.mean(axis=1, keepdims=True)) / steps.std(axis=1, keepdims=True)).astype(np.float32)


def write(folder: Path, naming: Naming = "neuromag") -> Path:
    """Write three parts and return the first."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = mne.io.RawArray(signal(), mne.create_info(LABELS, RATE, "eeg"), verbose="ERROR")
    raw.save(folder / "a_raw.fif", split_size="2MB", split_naming=naming, buffer_size_sec=1, verbose="ERROR")
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES[naming])
    return folder / NAMES[naming][0]


def refused(path: Path) -> Reason:
    with pytest.raises(ReadError) as caught:
        read(path)
    return caught.value.reason


@pytest.mark.parametrize("naming", ["neuromag", "bids"])
def test_all_parts_are_one_recording_of_one_subject(
    tmp_path: Path, take_in: Callable[..., tuple[object, Corpus]], naming: Naming
) -> None:
    path = write(tmp_path / "data", naming)
    np.testing.assert_allclose(read(path).read(range(len(LABELS))), signal() * 1e6, rtol=1e-6)
    assert [part.name for part in content_files(path)] == NAMES[naming]
    catalogue = take_in(tmp_path / "data")[1].catalogue
    assert list(catalogue["seconds"]) == [SECONDS]
    assert list(catalogue["bytes"]) == [sum(part.stat().st_size for part in (tmp_path / "data").iterdir())]


def test_every_part_is_within_the_hash(tmp_path: Path) -> None:
    path = write(tmp_path)
    before = hash_content(path).digest
    last = tmp_path / NAMES["neuromag"][2]
    last.write_bytes(last.read_bytes()[:-1] + b"x")
    assert hash_content(path).digest != before


@pytest.mark.parametrize(("missing", "recordings"), [(0, 1), (1, 2), (2, 1)])
def test_without_one_of_its_parts_it_is_truncated(
    tmp_path: Path, take_in: Callable[..., tuple[object, Corpus]], missing: int, recordings: int
) -> None:
    write(tmp_path / "data")
    (tmp_path / "data" / NAMES["neuromag"][missing]).unlink()
    catalogue = take_in(tmp_path / "data")[1].catalogue
    assert [list(reasons) for reasons in catalogue["reasons"]] == [["truncated"]] * recordings


def test_a_part_in_another_folder_is_not_followed(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / NAMES["neuromag"][1], tmp_path / "b" / "raw-1.fif")
    path.write_bytes(path.read_bytes().replace(b"a_raw-1.fif", b"b/raw-1.fif"))
    assert refused(path) is Reason.OUTSIDE


def test_parts_in_a_circle_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"a_raw-1.fif", b"./a_raw.fif"))
    assert refused(path) is Reason.UNREADABLE
