"""What headers state of patient and time, in every format that states it; and that stand-ins state nothing."""

import gzip
import struct
from datetime import UTC, datetime
from pathlib import Path

import mne
import numpy as np
import pytest

from labram.signals.readers.origin import Origin, normalise, read

STARTED = datetime(2019, 5, 6, 9, 30, 15, tzinfo=UTC)
SECONDS = STARTED.timestamp()


def edf(path: Path, patient: str, *, plus: bool = True, date: str = "06.05.1909.30.15") -> Path:
    recording = "Startdate 06-MAY-2019 E12 tech amp_9" if plus else "ward"
    reserved = "EDF+C" if plus else ""
    path.write_text(f"{'0':8}{patient:80}{recording:80}{date:16}{'512':8}{reserved:44}", encoding="latin1")
    return path


@pytest.mark.parametrize(
    ("patient", "expected"),
    [
        ("MCH-0234567 F 16-SEP-1987 Haagse_Harry", "haagse_harry mch-0234567"),
        ("X M X Jürgen", "jürgen"),
        ("X X X X", ""),
        ("X F X Female_33yr", ""),
        ("X F 02-AUG-1951 X", ""),
        ("anonymous X X ANON", ""),
        ("", ""),
    ],
)
def test_edf_plus(tmp_path: Path, patient: str, expected: str) -> None:
    assert read(edf(tmp_path / "a.EDF", patient)) == Origin(expected, "amp_9", SECONDS)


@pytest.mark.parametrize("name", ["a.edf.gz", "A.EDF.GZ", "a.rec.gz"])
def test_a_compressed_file_states_the_same(tmp_path: Path, name: str) -> None:
    plain = edf(tmp_path / "a.edf", "MCH-0234567 F 16-SEP-1987 Haagse_Harry")
    (tmp_path / name).write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    assert read(tmp_path / name) == read(plain) != Origin()


@pytest.mark.parametrize("content", [b"", b"no archive", gzip.compress(b"0       ", mtime=0)])
def test_a_damaged_archive_states_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.edf.gz").write_bytes(content)
    assert read(tmp_path / "a.edf.gz") == Origin()


def test_a_patient_is_one_in_utf_8_and_in_latin_1(tmp_path: Path) -> None:
    path = edf(tmp_path / "a.edf", "X M X J\xfcrgen")
    path.with_name("b.edf").write_bytes(path.read_bytes().replace(b"J\xfcrgen ", "Jürgen".encode()))
    assert read(path).patient == read(path.with_name("b.edf")).patient == "jürgen"


def test_edf_without_plus(tmp_path: Path) -> None:
    assert read(edf(tmp_path / "a.edf", "Doe, Jane", plus=False)) == Origin("doe jane", "", SECONDS)


@pytest.mark.parametrize("date", ["01.01.8500.00.00", "06.05.1900.00.00", "01.01.0109.30.15", "xx.xx.xxxx.xx.xx"])
def test_removed_dates_are_not_stated(tmp_path: Path, date: str) -> None:
    assert read(edf(tmp_path / "a.edf", "K 7", date=date)).started is None


@pytest.mark.parametrize("date", ["00.00.0009.30.15", "31.02.2009.30.15", "XX.XX.XX09.30.15", "06.05.19        ", ""])
def test_an_unusable_date_does_not_hide_the_patient(tmp_path: Path, date: str) -> None:
    path = edf(tmp_path / "a.edf", "MCH-0234567 F 16-SEP-1987 Haagse_Harry", date=date)
    assert read(path) == Origin("haagse_harry mch-0234567", "amp_9", None)


@pytest.mark.parametrize("days", [0, 2**64 - 1])
def test_an_unusable_date_does_not_hide_the_patient_of_gdf_and_cnt(tmp_path: Path, days: int) -> None:
    second = b"GDF 2.51" + b"Doe Jane".ljust(66, b"\0") + bytes(94) + struct.pack("<Q", days) + bytes(80)
    first = b"GDF 1.25" + b"Doe Jane".ljust(80) + bytes(80) + b"0000000000000000" + bytes(80)
    neuroscan = bytearray(300)
    neuroscan[21:29], neuroscan[225:233] = b"Doe Jane", b"00/00/00"
    for name, content in {"a.gdf": second, "b.gdf": first, "c.cnt": bytes(neuroscan)}.items():
        (tmp_path / name).write_bytes(content)
        assert read(tmp_path / name) == Origin("doe jane", "", None), name


def test_gdf(tmp_path: Path) -> None:
    days = SECONDS / 86_400 + 719_529
    second = b"GDF 2.51" + b"Doe Jane".ljust(66, b"\0") + bytes(94) + struct.pack("<Q", round(days * 2**32)) + bytes(80)
    (tmp_path / "a.gdf").write_bytes(second)
    origin = read(tmp_path / "a.gdf")
    assert origin.patient == "doe jane"
    assert origin.started == pytest.approx(SECONDS, abs=0.01)
    first = b"GDF 1.25" + b"Doe Jane".ljust(80) + bytes(80) + b"2019050609301500" + bytes(80)
    (tmp_path / "b.gdf").write_bytes(first)
    assert read(tmp_path / "b.gdf") == Origin("doe jane", "", SECONDS)


def test_brainvision(tmp_path: Path) -> None:
    (tmp_path / "a.vhdr").write_text("[Common Infos]\nMarkerFile=b.vmrk\n", encoding="utf-8")
    (tmp_path / "b.vmrk").write_text("Mk1=New Segment,,1,1,0,20190506093015123456\n", encoding="utf-8")
    assert read(tmp_path / "a.vhdr") == Origin("", "", SECONDS)


def test_neuroscan(tmp_path: Path) -> None:
    header = bytearray(300)
    header[21:24], header[121:129], header[225:233], header[235:243] = b"K12", b"Doe Jane", b"05/06/19", b"09:30:15"
    (tmp_path / "a.cnt").write_bytes(header)
    assert read(tmp_path / "a.cnt") == Origin("doe jane k12", "", SECONDS)


def test_fif(tmp_path: Path) -> None:
    raw = mne.io.RawArray(np.zeros((1, 200)), mne.create_info(["Cz"], 200.0, "eeg"), verbose="ERROR")
    raw.set_meas_date(STARTED)
    raw.info["subject_info"] = {"his_id": "K12", "last_name": "Doe"}
    raw.save(tmp_path / "a_raw.fif", verbose="ERROR")
    assert read(tmp_path / "a_raw.fif") == Origin("doe k12", "", SECONDS)


@pytest.mark.parametrize("name", ["a.edf", "a.gdf", "a.cnt", "a.vhdr", "a.fif", "a.csv"])
def test_what_cannot_be_read_states_nothing(tmp_path: Path, name: str) -> None:
    assert read(tmp_path / name) == Origin()
    (tmp_path / name).write_bytes(b"\xff" * 40)
    assert read(tmp_path / name) == Origin()


def test_an_origin_shows_nothing() -> None:
    assert "doe" not in repr(Origin("doe", "amp", 1.0))
    assert normalise("DOE^Jane") == normalise("jane  doe") == "doe jane"
