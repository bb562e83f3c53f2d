"""Names in headers and on disk: code pages, case, Unicode forms, renamed files, and files that are not there."""

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import mne
import numpy as np
import pytest
import scipy.io

from labram.corpus.scan import hash_content
from labram.datasets.base import list_files
from labram.datasets.folder import Folder
from labram.errors import ReadError, Reason
from labram.signals.readers import content_files, read
from labram.signals.recording import Recording

Refused = Callable[[Path], Reason]
LABELS, RATE = ("Fp1", "Cz", "O1"), 100
DIGITAL = np.random.default_rng(5).integers(-900, 900, (len(LABELS), 10 * RATE))
MICROVOLTS = DIGITAL * 0.1


def brainvision(
    folder: Path,
    stem: str,
    *,
    codepage: str = "UTF-8",
    encoding: str = "utf-8",
    named: str = "",
    suffixes: tuple[str, str, str] = (".vhdr", ".eeg", ".vmrk"),
) -> Path:
    """Write header, samples and markers as `stem`; the header names them `named`, by default `stem`."""
    folder.mkdir(parents=True, exist_ok=True)
    header, samples, markers = (folder / f"{stem}{suffix}" for suffix in suffixes)
    named = named or stem
    common = f"[Common Infos]\nCodepage={codepage}\nDataFile={named}{suffixes[1]}\n"
    channels = "".join(f"Ch{number}={label},,0.1,µV\n" for number, label in enumerate(LABELS, 1))
    text = (
        f"Brain Vision Data Exchange Header File Version 1.0\n{common}MarkerFile={named}{suffixes[2]}\n"
        f"DataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels={len(LABELS)}\n"
        f"SamplingInterval={1e6 / RATE}\n[Binary Infos]\nBinaryFormat=INT_16\n[Channel Infos]\n{channels}"
    )
    header.write_bytes(text.encode(encoding))
    samples.write_bytes(DIGITAL.T.astype("<i2").tobytes())
    text = (
        f"Brain Vision Data Exchange Marker File, Version 1.0\n{common}[Marker Infos]\n"
        "Mk1=New Segment,,1,1,0,20200101000000000000\nMk2=Comment,Gerät,301,1,0\n"
    )
    markers.write_bytes(text.encode(encoding))
    return header


def assert_whole(path: Path) -> Recording:
    recording = read(path)
    np.testing.assert_allclose(recording.read(range(len(LABELS))), MICROVOLTS, atol=1e-6)
    assert (recording.channels, recording.unit) == (LABELS, "µV")
    return recording


DIGITS = "9" * 5000
"""More than Python makes a number of."""


@pytest.mark.parametrize(
    ("entry", "reason"),
    [("NumberOfChannels", Reason.UNREADABLE), ("DataPoints", Reason.UNREADABLE), ("Ch1", Reason.UNREADABLE)],
)
def test_numbers_of_thousands_of_digits_are_no_defect_of_labram(tmp_path: Path, entry: str, reason: Reason) -> None:
    header = brainvision(tmp_path, "a")
    text = header.read_text(encoding="utf-8")
    changed = (
        text.replace("Ch1=", f"Ch{DIGITS}=")
        if entry == "Ch1"
        else re.sub(rf"{entry}=.*\n|(?=\[Binary)", f"{entry}={DIGITS}\n", text, count=1)
    )
    header.write_text(changed, encoding="utf-8")
    with pytest.raises(ReadError) as caught:
        read(header)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("stem", "codepage", "encoding"),
    [
        ("VP_Köln", "UTF-8", "utf-8"), ("VP_Köln", "UTF-8", "utf-8-sig"), ("脑电", "UTF-8", "utf-8"),
        ("Größe", "ANSI", "cp1252"), ("Größe", "UTF-8", "cp1252"), ("脑电 µV ä", "UTF-8", "utf-8"),
        ("a", "ANSI", "latin1"),
    ],
)  # fmt: skip
def test_a_brainvision_header_is_text_of_its_code_page(tmp_path: Path, stem: str, codepage: str, encoding: str):
    path = brainvision(tmp_path, stem, codepage=codepage, encoding=encoding)
    recording = assert_whole(path)
    assert [(event.onset, event.code) for event in recording.events if "Comment" in event.code] == [
        (3.0, "Comment/Gerät")
    ]
    assert content_files(path) == (path, path.with_suffix(".eeg"), path.with_suffix(".vmrk"))


def test_a_name_that_macos_decomposed_is_the_same_name(tmp_path: Path):
    path = brainvision(tmp_path, "a", named="Köln")
    for suffix in (".eeg", ".vmrk"):
        path.with_suffix(suffix).rename(tmp_path / unicodedata.normalize("NFD", f"Köln{suffix}"))
    assert assert_whole(path).notes == ()


@pytest.mark.parametrize(
    "suffixes", [(".VHDR", ".EEG", ".VMRK"), (".vhdr", ".EEG", ".VMRK"), (".VHDR", ".eeg", ".vmrk")]
)
@pytest.mark.parametrize("named", ["", "A", "a"])
def test_the_case_of_brainvision_names_does_not_matter(tmp_path: Path, suffixes: tuple[str, str, str], named: str):
    path = brainvision(tmp_path, "A", suffixes=suffixes, named=named)
    assert [event.code for event in assert_whole(path).events][-1] == "Comment/Gerät"
    assert Folder().eeg_files(tmp_path) == [path]


def test_a_renamed_brainvision_recording_is_read_by_its_own_name_with_a_note(tmp_path: Path):
    path = brainvision(tmp_path, "sub-01_eeg", named="recording_0007")
    assert assert_whole(path).notes == ("files_renamed",)


def test_samples_that_a_header_of_another_name_points_to_are_no_recording(tmp_path: Path):
    path = brainvision(tmp_path, "sub-01_eeg", named="raw01")
    for suffix in (".eeg", ".vmrk"):
        path.with_suffix(suffix).rename(tmp_path / f"raw01{suffix}")
    assert assert_whole(path).notes == ()
    assert Folder().eeg_files(tmp_path) == [path]


@pytest.mark.parametrize(("inside", "beside"), [("A.FDT", "A.FDT"), ("A.FDT", "A.fdt"), ("A.fdt", "A.FDT")])
@pytest.mark.parametrize("flat", [False, True])
def test_the_case_of_an_fdt_does_not_matter(tmp_path: Path, inside: str, beside: str, flat: bool):
    eeg = {
        "setname": "s", "nbchan": float(len(LABELS)), "trials": 1.0, "pnts": float(MICROVOLTS.shape[1]),
        "srate": float(RATE), "xmin": 0.0, "xmax": 9.99, "data": inside, "event": np.zeros((0, 0)),
        "chanlocs": np.array([(label,) for label in LABELS], dtype=[("labels", "O")]), "ref": "common",
        "icawinv": np.zeros((0, 0)), "icasphere": np.zeros((0, 0)), "icaweights": np.zeros((0, 0)),
    }  # fmt: skip
    path = tmp_path / "A.set"
    scipy.io.savemat(path, eeg if flat else {"EEG": eeg}, appendmat=False)
    (tmp_path / beside).write_bytes(MICROVOLTS.astype("<f4").T.tobytes())
    recording = read(path)
    np.testing.assert_allclose(recording.read(range(len(LABELS))), MICROVOLTS, atol=1e-4)
    assert content_files(path) == (path, tmp_path / beside)


def outcome(path: Path) -> tuple[Reason, str]:
    with pytest.raises(ReadError) as caught:
        read(path)
    found = hash_content(path).quarantined
    assert found is not None, "an ingest would read it"
    assert found[0] is caught.value.reason
    return caught.value.reason, caught.value.remedy


KEY = "MD5E-s1234567--9e107d9d372bb6826bd81d3542a419d6.edf"
LFS = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345678\n"


@pytest.mark.parametrize("suffix", [".edf", ".bdf", ".set", ".vhdr", ".gdf", ".fif", ".xdf", ".cnt", ".EDF"])
@pytest.mark.parametrize(
    ("content", "command"), [(f"/annex/objects/{KEY}\n", "datalad get"), (LFS, "git lfs pull"), ("", "datalad get")]
)
def test_a_pointer_names_the_command_that_fetches_its_content(tmp_path: Path, suffix: str, content: str, command: str):
    path = tmp_path / f"a{suffix}"
    if content:
        path.write_text(content)
    else:
        path.symlink_to(f"../../.git/annex/objects/Kj/3m/{KEY}/{KEY}")
    reason, remedy = outcome(path)
    assert reason is Reason.NOT_DOWNLOADED
    assert command in remedy


def test_samples_that_were_not_downloaded_are_not_missing(tmp_path: Path):
    path = brainvision(tmp_path, "a")
    path.with_suffix(".eeg").unlink()
    path.with_suffix(".eeg").symlink_to(f"../.git/annex/objects/{KEY}")
    assert outcome(path)[0] is Reason.NOT_DOWNLOADED
    assert Folder().eeg_files(tmp_path) == [path]


def test_a_link_that_leads_nowhere_else_is_unreadable(tmp_path: Path):
    (tmp_path / "a.edf").symlink_to(tmp_path / "absent.edf")
    assert outcome(tmp_path / "a.edf")[0] is Reason.UNREADABLE


def test_empty_samples_have_one_reason_in_every_format(tmp_path: Path):
    path = brainvision(tmp_path, "a")
    path.with_suffix(".eeg").write_bytes(b"")
    assert outcome(path)[0] is Reason.DAMAGED
    for suffix in (".edf", ".bdf", ".set", ".gdf", ".fif", ".xdf", ".cnt", ".vhdr"):
        empty = tmp_path / f"empty{suffix}"
        empty.write_bytes(b"")
        assert outcome(empty)[0] is Reason.DAMAGED


def test_a_decimal_comma_in_a_sampling_interval_is_understood(tmp_path: Path):
    path = brainvision(tmp_path, "a")
    text = path.read_text("utf-8")
    assert "SamplingInterval=10000.0\n" in text
    path.write_text(text.replace("SamplingInterval=10000.0\n", "SamplingInterval=8000,5\n"), "utf-8")
    assert assert_whole(path).sfreq == pytest.approx(1e6 / 8000.5)


@pytest.mark.parametrize("value", ["", " ", "\t"])
def test_an_empty_brainvision_entry_does_not_take_the_next_line(tmp_path: Path, value: str):
    path = brainvision(tmp_path, "a")
    path.write_text(path.read_text("utf-8").replace("MarkerFile=a.vmrk", f"MarkerFile={value}"), "utf-8")
    assert [part.name for part in content_files(path)] == ["a.vhdr", "a.eeg"]
    assert (assert_whole(path).gap_seconds, read(path).notes) == (None, ())


@pytest.mark.parametrize(
    ("scale", "factor", "unit", "notes"),
    [
        ("0.1,?V", 1.0, "µV", ()), ("0.1,microvolt", 1.0, "µV", ()), ("0.1, uV ", 1.0, "µV", ()),
        ("0.1", 1.0, "µV", ()), ("0.1,", 1.0, "µV", ()),
        ("0.1,mV", 1e3, "mV", ()), ("0.1,Volt", 1e6, "V", ()), ("0.1,nV", 1e-3, "nV", ()),
        ("0,1,mV", 1e3, "mV", ()), ("0,1", 1.0, "µV", ()), ("0,01E1,µV", 1.0, "µV", ()),
        ("0.1,MV", 1.0, "", ("unit_not_stated",)), ("0.1,C", 1.0, "", ("unit_not_stated",)),
    ],
)  # fmt: skip
def test_the_unit_of_brainvision_is_the_one_that_it_states(
    tmp_path: Path, scale: str, factor: float, unit: str, notes: tuple[str, ...]
):
    path = brainvision(tmp_path, "a")
    path.write_text(path.read_text("utf-8").replace("0.1,µV", scale), "utf-8")
    recording = read(path)
    np.testing.assert_allclose(recording.read(range(3)), MICROVOLTS * factor, rtol=1e-9, atol=1e-9)
    assert (recording.channels, recording.unit, recording.notes) == (LABELS, unit, notes)


def test_a_brainvision_channel_of_another_unit_says_nothing_about_electrodes(tmp_path: Path):
    path = brainvision(tmp_path, "a")
    path.write_text(path.read_text("utf-8").replace("O1,,0.1,µV", "Temp\\1 skin,,0.1,C"), "utf-8")
    recording = read(path)
    np.testing.assert_allclose(recording.read(range(3)), MICROVOLTS, atol=1e-6)
    assert (recording.channels[2], recording.unit, recording.notes) == ("Temp, skin", "µV", ())


def test_brainvision_is_what_mne_reads(tmp_path: Path):
    path = brainvision(tmp_path, "a")
    raw = mne.io.read_raw_brainvision(path, verbose="CRITICAL")
    np.testing.assert_allclose(read(path).read(range(3)), raw.get_data() * 1e6, atol=1e-9)
    assert len(list_files(tmp_path)) == 3
