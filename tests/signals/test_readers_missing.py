"""What a file does not have is neither a value nor a zero: lost samples, and pauses of unknown duration."""

import struct
from collections.abc import Callable
from pathlib import Path

import mne
import numpy as np
import pytest
from antio.libeep import pyeep

from labram.errors import Reason
from labram.signals.readers import content_files, gdf_header, read
from labram.signals.readers import gdf as gdf_reader
from labram.signals.recording import Recording

Refused = Callable[[Path], Reason]

LABELS, RATE, SECONDS = ("Fp1", "Cz", "O1", "EOG"), 100, 12
DIGITAL = np.random.default_rng(7).integers(-20000, 20000, (len(LABELS), RATE * SECONDS))
MICROVOLTS = (DIGITAL + 32768) * (200 / 65535) - 100


def gdf(
    path: Path,
    *,
    digital: np.ndarray = DIGITAL,
    unit: bytes = b"uV",
    events: tuple[tuple[int, int], ...] | None = ((401, 769), (801, 770)),
    second: bool = False,
    kind: str = "<i2",
) -> Path:
    """Write GDF 1.25 or 2.20 with limits of ±100 units; GDF 2 states its unit by code."""
    n = len(LABELS)
    fixed = bytearray(256)
    fixed[:8] = b"GDF 2.20" if second else b"GDF 1.25"
    if second:
        struct.pack_into("<H", fixed, 184, n + 1)
        struct.pack_into("<qIIH", fixed, 236, SECONDS, 1, 1, n)
    else:
        fixed[8:184] = b"2020010100000000".rjust(176)
        struct.pack_into("<q", fixed, 184, 256 * (n + 1))
        struct.pack_into("<qIII", fixed, 236, SECONDS, 1, 1, n)
    fields = [label.encode().ljust(16) for label in LABELS] + [b" " * 80] * n
    fields += [b" " * 6] * n + [struct.pack("<H", int(unit))] * n if second else [unit.ljust(8)] * n
    whole = "<d" if second else "<q"
    limits = (("<d", -100), ("<d", 100), (whole, -32768), (whole, 32767))
    fields += [struct.pack(form, limit) for form, limit in limits for _ in range(n)]
    fields += [bytes(80)] * n
    number = {"<i2": 3, "<f8": 17}[kind]
    fields += [struct.pack("<i", RATE)] * n + [struct.pack("<i", number)] * n + [bytes(32)] * n
    records = digital.astype(kind).reshape(n, SECONDS, RATE).transpose(1, 0, 2).tobytes()
    table = b""
    if events is not None:
        places, codes = zip(*events, strict=True)
        head = len(events).to_bytes(3, "little") + struct.pack("<f", RATE)
        head = head if second else RATE.to_bytes(3, "little") + struct.pack("<I", len(events))
        table = b"\1" + head + struct.pack(f"<{len(events)}I", *places) + struct.pack(f"<{len(events)}H", *codes)
    path.write_bytes(bytes(fixed) + b"".join(fields) + records + table)
    return path


def everything(recording: Recording) -> np.ndarray:
    return np.asarray(recording.read(range(len(recording.channels))))


@pytest.mark.parametrize("second", [False, True])
def test_gdf_has_the_samples_and_events_that_mne_reads(tmp_path: Path, second: bool):
    path = gdf(tmp_path / "a.gdf", second=second, unit=b"4275" if second else b"uV")
    raw = mne.io.read_raw_gdf(path, verbose="CRITICAL")
    recording = read(path)
    np.testing.assert_allclose(everything(recording), raw.get_data() * 1e6, atol=1e-9)
    np.testing.assert_allclose(everything(recording), MICROVOLTS, atol=1e-9)
    assert [(event.onset, event.code) for event in recording.events] == [(4.0, "769"), (8.0, "770")]
    assert (recording.unit, recording.gap_seconds, recording.notes) == ("µV", 0.0, ())
    np.testing.assert_array_equal(recording.read([2], 150, 420), everything(recording)[2:3, 150:420])


@pytest.mark.parametrize(
    ("unit", "second", "factor", "stated"),
    [
        (b"mV", False, 1e3, "mV"), (b"V", False, 1e6, "V"), (b"\xb5V", False, 1.0, "µV"), (b"", False, 1.0, ""),
        (b"4274", True, 1e3, "mV"), (b"4276", True, 1e-3, "nV"), (b"0", True, 1.0, ""),
    ],
)  # fmt: skip
def test_gdf_is_in_the_unit_that_it_states(tmp_path: Path, unit: bytes, second: bool, factor: float, stated: str):
    recording = read(gdf(tmp_path / "a.gdf", unit=unit, second=second))
    np.testing.assert_allclose(everything(recording), MICROVOLTS * factor, rtol=1e-9)
    assert (recording.unit, recording.notes) == (stated, () if stated else ("unit_not_stated",))


@pytest.mark.parametrize(("position", "gap"), [(1, 0.0), (401, None)])
def test_a_new_segment_of_gdf_is_a_pause_of_unknown_duration(tmp_path: Path, position: int, gap: float | None):
    assert read(gdf(tmp_path / "a.gdf", events=((position, 0x7FFE), (801, 770)))).gap_seconds == gap


def test_of_a_table_of_a_billion_events_a_million_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for module in (gdf_header, gdf_reader):
        monkeypatch.setattr(module, "MOST_EVENTS", 2)
    path = gdf(tmp_path / "a.gdf", events=((101, 1), (201, 2), (301, 3)))
    assert [event.code for event in read(path).events] == ["1", "2"]
    assert read(path).notes == ("events_cut",)


@pytest.mark.parametrize("second", [False, True])
def test_the_rest_of_a_gdf_file_is_not_taken_for_its_events(tmp_path: Path, second: bool):
    path = gdf(tmp_path / "a.gdf", second=second, unit=b"4275" if second else b"uV")
    with path.open("r+b") as file:
        file.truncate(1 << 36)
    assert [event.code for event in read(path).events] == ["769", "770"]


def test_gdf_may_end_without_a_table_of_events(tmp_path: Path):
    recording = read(gdf(tmp_path / "a.gdf", events=None))
    assert (recording.events, recording.samples) == ((), RATE * SECONDS)


@pytest.mark.parametrize(("channels", "code"), [(slice(None), -32768), (slice(1, 2), -32768), (slice(0, 1), 32767)])
def test_samples_that_gdf_lost_are_a_gap_and_not_a_plateau(tmp_path: Path, channels: slice, code: int):
    digital = DIGITAL.copy()
    digital[channels, 500:550] = code
    recording = read(gdf(tmp_path / "a.gdf", digital=digital))
    np.testing.assert_allclose(everything(recording), np.delete(MICROVOLTS, range(500, 550), axis=1), atol=1e-9)
    assert (recording.gap_seconds, recording.notes) == (0.5, ("lost_samples",))
    assert [event.onset for event in recording.events] == [4.0, 7.5]


def test_floats_that_gdf_lost_are_a_gap_too(tmp_path: Path):
    digital = DIGITAL.astype(np.float64)
    digital[:, 300:310] = np.nan
    recording = read(gdf(tmp_path / "a.gdf", digital=digital, kind="<f8"))
    np.testing.assert_allclose(everything(recording), np.delete(MICROVOLTS, range(300, 310), axis=1), atol=1e-9)
    assert recording.gap_seconds == 0.1


def test_a_gdf_electrode_without_values_is_left_out_and_another_channel_costs_nothing(tmp_path: Path):
    digital = DIGITAL.copy()
    digital[1, 100:] = -32768
    digital[3, 50:60] = -32768
    recording = read(gdf(tmp_path / "a.gdf", digital=digital))
    assert (recording.channels, recording.notes) == (("Fp1", "O1", "EOG"), ("channels_without_values",))
    np.testing.assert_allclose(everything(recording)[:2], MICROVOLTS[[0, 2]], atol=1e-9)
    assert np.isnan(everything(recording)[2, 50:60]).all()


def test_gdf_without_any_value_is_damaged(tmp_path: Path, refused: Refused):
    assert refused(gdf(tmp_path / "a.gdf", digital=np.full_like(DIGITAL, -32768))) is Reason.DAMAGED


def ant(path: Path, units: tuple[str, ...] = ("uV",) * len(LABELS)) -> Path:
    channels = pyeep.create_channel_info()
    for label, unit in zip(LABELS, units, strict=True):
        pyeep.add_channel(channels, label, "CPz", unit)
    handle = pyeep.write_cnt(str(path), RATE, channels, 0)
    pyeep.add_samples(handle, MICROVOLTS.T.ravel().tolist(), len(LABELS))
    pyeep.close(handle)
    return path


@pytest.mark.parametrize(
    ("units", "unit", "notes"),
    [
        (("mV", "mV", "mV", "a.u."), "mV", ()),
        (("", "uV", "uV", "uV"), "µV", ("unit_not_stated",)),
        (("C", "C", "C", "uV"), "", ("unit_not_stated",)),
    ],
)
def test_an_electrode_of_ant_without_a_unit_is_noted(
    tmp_path: Path, units: tuple[str, ...], unit: str, notes: tuple[str, ...]
):
    recording = read(ant(tmp_path / "a.cnt", units))
    assert (recording.unit, recording.notes) == (unit, notes)


DAY = 45000.0


def segments(path: Path, *parts: tuple[float, int]) -> None:
    """Write the list of all segments but the first: seconds of their start on `DAY`, and samples."""
    lines = [f"{DAY + int(start) / 86400:.9f} {start % 1:.6f} {count}" for start, count in parts]
    path.write_text("\n".join([f"NumberSegments={len(parts) + 1}", *lines, ""]), encoding="utf-8")


@pytest.mark.parametrize("name", ["a.seg", "A.SEG"])
def test_the_pause_of_an_ant_recording_is_in_its_list_of_segments(tmp_path: Path, name: str):
    path = ant(tmp_path / "written.cnt").rename(tmp_path / {"a.seg": "a.cnt", "A.SEG": "A.CNT"}[name])
    segments(tmp_path / name, (100.25, 500), (145.5, 300))
    recording = read(path)
    assert recording.gap_seconds == pytest.approx(45.25 - 500 / RATE, abs=1e-6)
    np.testing.assert_allclose(everything(recording), MICROVOLTS, atol=0.01)
    assert content_files(path) == (path, tmp_path / name)


@pytest.mark.parametrize(
    ("triggers", "gap"), [("0.0 0 __\n 5.0 0 7\n", 0.0), ("0.0 0 __\n 5.0 0 __\n", None), ("5.0 0 7\n", 0.0)]
)
def test_an_interruption_that_only_a_trigger_tells_has_an_unknown_duration(
    tmp_path: Path, triggers: str, gap: float | None
):
    path = ant(tmp_path / "a.cnt")
    (tmp_path / "a.trg").write_text(f"{1 / RATE} 1000\n {triggers}")
    assert read(path).gap_seconds == gap


def test_segments_whose_dates_are_absent_leave_the_pause_unknown(tmp_path: Path):
    path = ant(tmp_path / "a.cnt")
    (tmp_path / "a.seg").write_text("NumberSegments=2\n0.0 0.0 500\n")
    assert read(path).gap_seconds is None
