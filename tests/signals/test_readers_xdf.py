"""XDF, written here as its specification says: chunks of XML and samples (xdf-modules/xdf, "Specifications")."""

import struct
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest

from labram.errors import Reason
from labram.signals.readers import read
from labram.signals.recording import Recording

RATE = 200
LABELS = ("Fp1", "Cz", "EKG")
SIGNAL = np.random.default_rng(0).integers(-200, 200, (3, 5 * RATE)).astype(np.float64)
SECRET = "Mustermann"
Refused = Callable[[Path], Reason]


def everything(recording: Recording) -> np.ndarray:
    return recording.read(range(len(recording.channels)))


def element(name: str, value: object) -> str:
    """XML of nested pairs, ``[(name, text or pairs), …]``."""
    inner = "".join(element(*pair) for pair in value) if isinstance(value, list) else escape(str(value))
    return f"<{name}>{inner}</{name}>"


def chunk(tag: int, content: bytes) -> bytes:
    return b"\x04" + struct.pack("<IH", len(content) + 2, tag) + content


def stream(
    number: int,
    kind: str,
    stamps: np.ndarray,
    values: np.ndarray,
    *,
    rate: float,
    labels: tuple[str, ...] = (),
    unit: str | tuple[str, ...] = "",
    promised: int | None = None,
) -> bytes:
    """Header, samples and footer (chunks 2, 3 and 6) of a stream of doubles, or of text where `values` is text."""
    name = struct.pack("<I", number)
    text = values.dtype.kind == "U"
    units = (unit,) * len(labels) if isinstance(unit, str) else unit
    described = [
        ("channel", [("label", label), ("unit", own), ("type", "EEG")])
        for label, own in zip(labels, units, strict=True)
    ]
    header = element(
        "info",
        [
            ("name", SECRET),
            ("type", kind),
            ("channel_count", values.shape[1]),
            ("nominal_srate", rate),
            ("channel_format", "string" if text else "double64"),
            ("desc", [("channels", described)]),
        ],
    )
    body = b"\x04" + struct.pack("<I", len(stamps))
    for stamp, row in zip(stamps, values, strict=True):
        body += b"\x08" + struct.pack("<d", stamp)
        for value in row:
            body += b"\x01" + bytes([len(value)]) + value.encode() if text else struct.pack("<d", value)
    footer = element("info", [("sample_count", len(stamps) if promised is None else promised)])
    return (
        chunk(2, name + header.encode())
        + (chunk(3, name + body) if len(stamps) else b"")
        + chunk(6, name + footer.encode())
    )


def xdf(path: Path, *streams: bytes) -> Path:
    path.write_bytes(b"XDF:" + chunk(1, element("info", [("version", "1.0")]).encode()) + b"".join(streams))
    return path


STAMPS = 1000 + np.arange(SIGNAL.shape[1]) / RATE


def eeg(number: int = 1, stamps: np.ndarray = STAMPS, **options: object) -> bytes:
    settings: dict[str, object] = {"rate": RATE, "labels": LABELS, "unit": "microvolts", **options}
    return stream(number, "EEG", stamps, SIGNAL.T[: len(stamps)], **settings)


def markers(number: int = 9) -> bytes:
    return stream(number, "Markers", np.array([900.0, 1001.001]), np.array([["before"], ["go"]]), rate=0)


def test_xdf_gives_the_eeg_stream_and_the_markers_of_others(tmp_path: Path):
    recording = read(xdf(tmp_path / "a.xdf", markers(), eeg()))
    assert (recording.channels, recording.sfreq, recording.notes) == (LABELS, RATE, ())
    np.testing.assert_allclose(everything(recording), SIGNAL, atol=0.01)
    assert [(event.onset, event.code) for event in recording.events] == [(201 / RATE, "go")]


@pytest.mark.parametrize(("unit", "scale"), [("uV", 1), ("millivolts", 1e3), ("volts", 1e6)])
def test_the_unit_of_an_xdf_stream_is_the_one_that_it_states(tmp_path: Path, unit: str, scale: float):
    np.testing.assert_allclose(everything(read(xdf(tmp_path / "a.xdf", eeg(unit=unit)))), SIGNAL * scale, rtol=1e-5)


@pytest.mark.parametrize("other", ["none", "", "g"])
def test_a_channel_without_a_unit_of_voltage_does_not_void_the_units_of_electrodes(tmp_path: Path, other: str):
    recording = read(xdf(tmp_path / "a.xdf", eeg(unit=("millivolts", "mV", other))))
    np.testing.assert_allclose(everything(recording), SIGNAL * [[1e3], [1e3], [1]], rtol=1e-5)
    assert (recording.unit, recording.notes) == ("mV", ())


def test_an_electrode_without_a_unit_has_that_of_the_others(tmp_path: Path):
    recording = read(xdf(tmp_path / "a.xdf", eeg(unit=("none", "volts", "volts"))))
    np.testing.assert_allclose(everything(recording), SIGNAL * 1e6, rtol=1e-5)
    assert (recording.unit, recording.notes) == ("V", ("unit_not_stated",))


def test_an_xdf_stream_without_description_has_numbers_for_names_and_no_stated_unit(tmp_path: Path):
    recording = read(xdf(tmp_path / "a.xdf", eeg(labels=())))
    assert (recording.channels, recording.notes) == (("1", "2", "3"), ("unit_not_stated",))


def test_of_several_eeg_streams_the_one_with_electrodes_is_taken(tmp_path: Path):
    empty = eeg(1, STAMPS[:0])
    unnamed = eeg(2, labels=())
    recording = read(xdf(tmp_path / "a.xdf", empty, unnamed, eeg(3)))
    assert (recording.channels, recording.notes) == (LABELS, ("other_eeg_streams",))


def test_a_break_in_xdf_time_stamps_is_reported_and_jitter_is_not(tmp_path: Path):
    jitter = np.random.default_rng(0).uniform(0, 0.01, len(STAMPS))
    assert read(xdf(tmp_path / "a.xdf", eeg(stamps=STAMPS + jitter))).gap_seconds == 0.0
    broken = read(xdf(tmp_path / "b.xdf", eeg(stamps=STAMPS + 1.5 * (STAMPS > 1002))))
    assert broken.gap_seconds == pytest.approx(1.5, abs=0.02)


def test_a_time_stamp_that_is_none_is_damage_and_hides_no_break(tmp_path: Path, refused: Refused):
    stamps = STAMPS + 1.5 * (STAMPS > 1002)
    stamps[7] = np.nan
    assert refused(xdf(tmp_path / "a.xdf", eeg(stamps=stamps))) is Reason.DAMAGED


def test_an_xdf_rate_that_time_stamps_contradict_is_not_believed(tmp_path: Path):
    recording = read(xdf(tmp_path / "a.xdf", eeg(rate=250)))
    assert recording.sfreq == pytest.approx(RATE, rel=1e-3)
    assert recording.notes == ("rate_from_time_stamps",)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ((markers(),), Reason.NOT_EEG),
        ((eeg(stamps=STAMPS[:0]),), Reason.TOO_SHORT),
        ((eeg(promised=SIGNAL.shape[1] + 10),), Reason.DAMAGED),
        ((eeg(stamps=np.full(300, 5.0)),), Reason.DAMAGED),
    ],
)
def test_xdf_without_usable_eeg_is_rejected(
    tmp_path: Path, refused: Refused, content: tuple[bytes, ...], expected: Reason
):
    assert refused(xdf(tmp_path / "a.xdf", *content)) is expected


def test_an_xdf_file_without_footer_is_read_up_to_its_last_whole_chunk(tmp_path: Path):
    path = xdf(tmp_path / "a.xdf", eeg(), markers())
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"sample_count") - 30])
    recording = read(path)
    assert (recording.samples, recording.notes) == (SIGNAL.shape[1], ("record_count_unknown",))


def test_flipped_bytes_are_read_or_rejected_but_never_a_crash(
    tmp_path: Path, survive_flips: Callable[[Path, int], None]
):
    survive_flips(xdf(tmp_path / "a.xdf", eeg(), markers()), 25)
