"""Files of formats without a reader are named, and so are companions whose recording is not there."""

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


@pytest.mark.parametrize(("header", "companion"), [("a.vhdr", "A.VMRK"), ("a.set", "a.fdt"), ("a.EEG", "a.pnt")])
def test_a_companion_beside_its_recording_is_none(tmp_path: Path, header: str, companion: str) -> None:
    (tmp_path / header).write_bytes(b"x")
    (tmp_path / companion).write_bytes(b"x")
    assert Folder().eeg_files(tmp_path) == [tmp_path / header]


def test_markers_that_a_renamed_header_names_are_none(tmp_path: Path) -> None:
    (tmp_path / "new.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=old.eeg\nMarkerFile=old.vmrk\n"
    )
    for name in ("old.eeg", "old.vmrk"):
        (tmp_path / name).write_bytes(b"x")
    assert Folder().eeg_files(tmp_path) == [tmp_path / "new.vhdr"]
