"""Files of formats without a reader are named, and so are companions whose recording is not there."""

import bz2
import gzip
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from labram.corpus.scan import scan
from labram.datasets.base import Dataset
from labram.datasets.folder import Folder
from labram.errors import ReadError, Reason
from labram.signals import readers
from labram.signals.readers import read

SUFFIXES = ".mef .nrd .tsq .tev .sev .continuous .oebin .rda .bni .sig .ebs .cdp .otb+ .lvm .tdms .edf+ .bdf+"
ORPHANS = ".fdt .vmrk .amrk .rs3 .21e .pnt"


@pytest.mark.parametrize("name", [f"a{suffix}" for suffix in f"{SUFFIXES} {ORPHANS} .edf.tar.gz".split()])
def test_a_file_without_a_reader_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name.upper()
    path.write_bytes(b"content")
    assert Folder().eeg_files(tmp_path) == [path]
    with pytest.raises(ReadError) as caught:
        read(path)
    assert caught.value.reason is Reason.UNSUPPORTED


TABLE = "Fp1,Cz\n" + "0.5,-1e1\n" * 300
MUSE = "timestamps,TP9\n" + "1e9,0.5\n" * 300


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv.gz", gzip.compress(TABLE.encode(), mtime=0)),
        ("a.TXT.GZ", gzip.compress(TABLE.encode(), mtime=0)),
        ("a.csv.gz", gzip.compress(MUSE.encode(), mtime=0)),
        ("a.csv.gz", gzip.compress((TABLE + "9,9\n" * 100_000).encode(), mtime=0)),
        ("a.csv.bz2", bz2.compress(TABLE.encode())),
        ("a.csv.xz", lzma.compress(MUSE.encode())),
        ("a.csv.zst", pa.Codec("zstd").compress(TABLE.encode(), asbytes=True)),
        ("a.dat", TABLE.encode()),
        ("a.dat", bytes(1000)),
        ("A.DAT", b"\1\0" * 1000),
    ],
)
def test_tables_and_samples_without_what_describes_them_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert Folder().eeg_files(tmp_path) == [tmp_path / name]
    with pytest.raises(ReadError) as caught:
        read(tmp_path / name)
    assert caught.value.reason is Reason.UNSUPPORTED


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv.gz", gzip.compress(b"subject,age\n1,20\n", mtime=0)),
        ("a.csv.gz", gzip.compress(b"subject,age\n1,20\n", mtime=0)[:-9]),
        ("a.csv.gz", b"no archive"),
        ("a.csv.bz2", b"no archive"),
        ("a.csv.xz", lzma.compress(b"subject,age\n1,20\n")),
        ("a.csv.xz", b"no archive"),
        ("a.csv.zst", b"no archive"),
        ("notes", b"0       of text"),
        ("a.dat", b"settings: 5\n"),
    ],
)
def test_other_tables_are_no_recordings(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert Folder().eeg_files(tmp_path) == []


def archive(path: Path, *names: str, mode: str = "w:gz", content: bytes = bytes(1000)) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as file:
            for name in names:
                file.writestr(name, content)
        return path
    with tarfile.open(path, mode) as packed:
        for name in names:
            (path.parent / "member").write_bytes(content)
            packed.add(path.parent / "member", name)
    (path.parent / "member").unlink()
    return path


ARCHIVES = [
    ("a.zip", ""), ("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tgz", "w:gz"), ("a.tar.bz2", "w:bz2"), ("a.txz", "w:xz"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "mode"), ARCHIVES)
def test_archives_of_recordings_are_named_until_they_are_unpacked(tmp_path: Path, name: str, mode: str) -> None:
    path = archive(tmp_path / name, "notes.txt", "S01/eeg.EDF", mode=mode)
    assert Folder().eeg_files(tmp_path) == [path]
    with pytest.raises(ReadError, match="compressed"):
        read(path)
    (tmp_path / "S01").mkdir()
    (tmp_path / "S01" / "eeg.EDF").write_bytes(b"x")
    assert Folder().eeg_files(tmp_path) == [tmp_path / "S01" / "eeg.EDF"]
    (tmp_path / "S01" / "eeg.EDF").unlink()
    assert Folder().eeg_files(tmp_path) == [path]


@pytest.mark.parametrize(("name", "mode"), ARCHIVES)
def test_archives_of_tables_of_samples_and_of_archives_are_named(tmp_path: Path, name: str, mode: str) -> None:
    path = archive(tmp_path / name, "S01/samples.csv", mode=mode, content=TABLE.encode())
    assert Folder().eeg_files(tmp_path) == [path]
    with pytest.raises(ReadError, match="compressed"):
        read(path)
    assert Folder().eeg_files(archive(path, "labels.csv", mode=mode, content=b"subject,age\n1,20\n").parent) == []
    for packed in ("a.edf.gz", "all.zip", "b.bdf.part"):
        assert Folder().eeg_files(archive(path, packed, mode=mode).parent) == [path], packed


def test_archives_that_cannot_be_looked_into_are_named_until_they_are_unpacked(tmp_path: Path) -> None:
    for name in ("a.7z", "b.RAR"):
        (tmp_path / name).write_bytes(b"x")
    assert Folder().eeg_files(tmp_path) == [tmp_path / "a.7z", tmp_path / "b.RAR"]
    (tmp_path / "b").mkdir()
    assert Folder().eeg_files(tmp_path) == [tmp_path / "a.7z"]


@pytest.mark.parametrize("name", ["a", "a.edf.txt", "a.edf~", "a.edf.1", "a.edf.swp", "a.dta"])
def test_a_recording_under_another_name_is_named(tmp_path: Path, write_edf: Callable[..., Path], name: str) -> None:
    path = write_edf(tmp_path / "a.edf").rename(tmp_path / name)
    assert Folder().eeg_files(tmp_path) == [path]
    with pytest.raises(ReadError) as caught:
        read(path)
    assert caught.value.reason is Reason.UNSUPPORTED


@pytest.mark.parametrize(
    "head", [b"\xffBIOSEMI", b"GDF 2.20", b"XDF:", b"Brain Vision Data Exchange Header File Version 1.0"]
)
def test_a_recording_of_another_format_without_its_suffix_is_named(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "a").write_bytes(head + bytes(300))
    assert Folder().eeg_files(tmp_path) == [tmp_path / "a"]


def test_unfinished_and_packed_recordings_of_a_dataset_are_named_too(
    tmp_path: Path, write_edf: Callable[..., Path]
) -> None:
    for name in ("S001/S001R01.edf", "S001/S001R02.edf.part"):
        write_edf(tmp_path / "eegmmidb" / name)
    eeg = tmp_path / "bids" / "sub-01" / "eeg"
    write_edf(eeg / "sub-01_task-a_eeg.edf")
    write_edf(eeg / "sub-01_task-b_eeg.edf.1")
    archive(eeg / "sub-01_task-c_eeg.zip", "c.set")
    archive(eeg / "sub-01_stimuli.zip", "c.wav")
    (tmp_path / "bids" / "dataset_description.json").write_text("{}")
    found = {path.name: (dataset.name, reason) for dataset, path, reason in outcomes(tmp_path)}
    assert found == {
        "S001R01.edf": ("eegmmidb", None), "S001R02.edf.part": ("eegmmidb", Reason.UNSUPPORTED),
        "sub-01_task-a_eeg.edf": ("bids", None), "sub-01_task-b_eeg.edf.1": ("bids", Reason.UNSUPPORTED),
        "sub-01_task-c_eeg.zip": ("bids", Reason.UNSUPPORTED),
    }  # fmt: skip


def outcomes(folder: Path) -> Iterator[tuple[Dataset, Path, Reason | None]]:
    for item in scan(folder):
        try:
            item.dataset.read(item.file)
        except ReadError as error:
            yield item.dataset, item.file.path, error.reason
        else:
            yield item.dataset, item.file.path, None


def test_other_archives_and_damaged_ones_are_no_recordings(tmp_path: Path) -> None:
    archive(tmp_path / "a.zip", "paper.pdf", "code/read.m")
    (tmp_path / "b.zip").write_bytes(b"PK")
    (tmp_path / "c.tar").write_bytes(b"x" * 2000)
    (tmp_path / "d.tgz").write_bytes(b"x" * 2000)
    assert Folder().eeg_files(tmp_path) == []


@pytest.mark.parametrize("name", ["a.edf.part", "a.BDF.crdownload", "a.set.bak", "a.vhdr.tmp", "a.fif.orig"])
def test_unfinished_downloads_and_backups_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / "notes.bak").write_bytes(b"x")
    assert Folder().eeg_files(tmp_path) == [tmp_path / name]
    with pytest.raises(ReadError, match="unfinished"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("header", "companion"),
    [
        ("a.vhdr", "A.VMRK"),
        ("a.ahdr", "a.vmrk"),
        ("a.set", "a.fdt"),
        ("a.EEG", "a.pnt"),
        ("a.lay", "A.dat"),
        ("a.hea", "a.dat"),
    ],
)
def test_a_companion_beside_its_recording_is_none(tmp_path: Path, header: str, companion: str) -> None:
    (tmp_path / header).write_bytes(b"x")
    (tmp_path / companion).write_bytes(b"x\0")
    assert Folder().eeg_files(tmp_path) == [tmp_path / header]


def test_markers_that_a_renamed_header_names_are_none(tmp_path: Path) -> None:
    (tmp_path / "new.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=old.eeg\nMarkerFile=old.vmrk\n"
    )
    for name in ("old.eeg", "old.vmrk"):
        (tmp_path / name).write_bytes(b"x")
    assert Folder().eeg_files(tmp_path) == [tmp_path / "new.vhdr"]


def test_headers_of_a_folder_are_read_once_for_all_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand headers beside a thousand files of other names, a million would be read."""
    for number in range(20):
        (tmp_path / f"new{number:02d}.vhdr").write_text(
            f"Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=old{number:02d}.eeg\n"
        )
        (tmp_path / f"old{number:02d}.eeg").write_bytes(b"x")
    (tmp_path / "orphan.eeg").write_bytes(b"x")
    asked: list[Path] = []
    sound = readers.content_files
    monkeypatch.setattr(readers, "content_files", lambda path: (asked.append(path), sound(path))[1])
    assert [path.name for path in Folder().eeg_files(tmp_path) if path.suffix == ".eeg"] == ["orphan.eeg"]
    assert len(asked) == 20
    (tmp_path / "new.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=orphan.eeg\n"
    )
    assert not [path for path in Folder().eeg_files(tmp_path) if path.suffix == ".eeg"], "it has a header now"
