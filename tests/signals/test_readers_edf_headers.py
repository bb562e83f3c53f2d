"""What recorders write into headers of EDF: it is read for what it means, or refused for the reason that helps."""

from collections.abc import Callable
from pathlib import Path

import edfio
import numpy as np
import pytest

from labram.errors import Reason
from labram.signals.readers import read

RATE, SECONDS, LABELS = 128, 20, ("Fp1", "Cz")
SIGNAL = np.random.default_rng(0).uniform(-200, 200, (len(LABELS), SECONDS * RATE))
FIELDS = {"unit": (96, 8), "physical_min": (104, 8), "physical_max": (112, 8), "samples": (216, 8)}
"""Offset per signal, and width."""


@pytest.fixture
def edf(tmp_path: Path) -> Path:
    path = tmp_path / "a.edf"
    signals = [
        edfio.EdfSignal(row, RATE, label=label, physical_dimension="uV", physical_range=(-204.8, 204.7))
        for row, label in zip(SIGNAL, LABELS, strict=True)
    ]
    edfio.Edf(signals, annotations=[edfio.EdfAnnotation(2.5, 1.0, "T1")], data_record_duration=1).write(path)
    return path


def put(path: Path, place: int, text: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[place : place + len(text)] = text
    path.write_bytes(content)


def set_field(path: Path, name: str, text: bytes) -> None:
    """Set a field of both electrodes; the third signal holds annotations."""
    offset, width = FIELDS[name]
    put(path, 256 + 3 * offset, text.ljust(width) * len(LABELS))


def values(path: Path) -> np.ndarray:
    recording = read(path)
    assert recording.notes == ()
    assert [(event.onset, event.code) for event in recording.events] == [(2.5, "T1")]
    return recording.read([0, 1])


MICRO = [b".V", b"\xb5V", b"\xe6V", "μV".encode(), "µV".encode(), b"UV", b"uVolt", b"microV", b"uV\0\0", b"'uV'", b"?V"]


@pytest.mark.parametrize("unit", MICRO)
def test_microvolts_in_every_spelling(edf: Path, unit: bytes) -> None:
    set_field(edf, "unit", unit)
    np.testing.assert_allclose(values(edf), SIGNAL, atol=0.01)
    assert read(edf).unit == "µV"


@pytest.mark.parametrize(("unit", "factor"), [(b"mV", 1e3), (b"Volt", 1e6), (b"nV", 1e-3)])
def test_other_units_of_voltage(edf: Path, unit: bytes, factor: float) -> None:
    set_field(edf, "unit", unit)
    np.testing.assert_allclose(values(edf), SIGNAL * factor, atol=0.01 * factor)


ODD: dict[str, tuple[int, bytes]] = {
    "impossible date": (168, b"99.99.9999.99.99"),
    "no date": (168, bytes(16)),
    "number of records 20.0": (236, b"20.0    "),
    "duration with a comma": (244, b"1,0     "),
    "version padded with NUL": (0, b"0" + bytes(7)),
    "names in another code page": (8, b"\xff" * 160),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_fields_of_which_the_meaning_is_clear(edf: Path, name: str) -> None:
    put(edf, *ODD[name])
    np.testing.assert_allclose(values(edf), SIGNAL, atol=0.01)


def test_decimal_commas_and_whole_numbers_with_a_fraction(edf: Path) -> None:
    set_field(edf, "physical_min", b"-204,8")
    set_field(edf, "physical_max", b"+204,7")
    set_field(edf, "samples", b"128.0")
    np.testing.assert_allclose(values(edf), SIGNAL, atol=0.01)


def test_exchanged_limits_turn_the_polarity(edf: Path) -> None:
    set_field(edf, "physical_min", b"204.7")
    set_field(edf, "physical_max", b"-204.8")
    np.testing.assert_allclose(values(edf), -SIGNAL - 0.1, atol=0.01)


def test_labels_and_types_in_other_capitals(edf: Path) -> None:
    put(edf, 256 + 2 * 16, b"EDF ANNOTATIONS ")
    put(edf, 192, b"edf+c")
    capitals = edf.rename(edf.with_name("A.EDF"))
    np.testing.assert_allclose(values(capitals), SIGNAL, atol=0.01)


def in_utf8(content: bytes) -> bytes:
    return content.decode("latin1").encode()


@pytest.mark.parametrize(
    "damage", [lambda edf: b"\xef\xbb\xbf" + edf, in_utf8, lambda edf: edf.decode("latin1").encode("utf-16")]
)
def test_a_copy_as_text_is_damaged(edf: Path, refused: Callable[[Path], Reason], damage: Callable[[bytes], bytes]):
    edf.write_bytes(damage(edf.read_bytes()))
    assert refused(edf) is Reason.DAMAGED


@pytest.mark.parametrize("duration", [b"0", b"1"])
def test_annotations_without_signals_are_named_as_such(
    tmp_path: Path, refused: Callable[[Path], Reason], duration: bytes
):
    text = b"+0\x14\x14\0+0\x1530\x14Sleep stage W\x14\0"
    widths = ((b"EDF Annotations", 16), (b"", 80), (b"", 8), (b"-1", 8), (b"1", 8), (b"-32768", 8), (b"32767", 8))
    fixed = b"0".ljust(8) + b"X X X X".ljust(80) * 2 + b"01.01.0000.00.00" + b"512".ljust(8) + b"EDF+C".ljust(44)
    header = fixed + b"1".ljust(8) + duration.ljust(8) + b"1".ljust(4)
    header += b"".join(value.ljust(width) for value, width in widths) + b"".ljust(80) + b"30".ljust(8) + b"".ljust(32)
    (tmp_path / "night-Hypnogram.edf").write_bytes(header + text.ljust(60, b"\0"))
    assert refused(tmp_path / "night-Hypnogram.edf") is Reason.ANNOTATIONS_ONLY


@pytest.mark.parametrize("duration", [b"0.5", b"2", b"1e-2"])
def test_records_that_begin_at_other_intervals_than_their_duration_have_no_known_rate(
    edf: Path, refused: Callable[[Path], Reason], duration: bytes
) -> None:
    put(edf, 244, duration.ljust(8))
    assert refused(edf) is Reason.DAMAGED


def test_a_pause_in_a_file_that_is_declared_continuous_is_a_gap(edf: Path) -> None:
    content = edf.read_bytes()
    for second in range(12, SECONDS):
        content = content.replace(f"+{second}\x14\x14".encode(), f"+{second + 40}\x14\x14".encode())
    edf.write_bytes(content)
    assert read(edf).gap_seconds == 40.0
