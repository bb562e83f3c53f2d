"""Files of formats without a reader are named, and so are companions whose recording is not there."""

import gzip
import tarfile
import zipfile
from pathlib import Path

import pytest

from labram.datasets.folder import Folder
from labram.errors import ReadError, Reason
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
        ("a.dat", b"settings: 5\n"),
    ],
)
def test_other_tables_are_no_recordings(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert Folder().eeg_files(tmp_path) == []


def archive(path: Path, *names: str, mode: str = "w:gz") -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as file:
            for name in names:
                file.writestr(name, bytes(1000))
        return path
    with tarfile.open(path, mode) as packed:
        for name in names:
            (path.parent / "member").write_bytes(bytes(1000))
            packed.add(path.parent / "member", name)
    (path.parent / "member").unlink()
    return path


@pytest.mark.parametrize(("name", "mode"), [("a.zip", ""), ("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tgz", "w:gz")])
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
