"""Formats beside EDF, BDF, FIF and BrainVision. Files are written here: by other software, else as specified."""

import contextlib
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape

import mffpy
import mne
import numpy as np
import pytest
from antio.libeep import pyeep
from mffpy.bin_writer import BinWriter
from scipy.io import savemat

from labram.errors import ReadError, Reason
from labram.signals.electrodes import canonical_names
from labram.signals.readers import FORMATS, content_files, format_of, is_recording, read
from labram.signals.recording import Recording

RATE = 200
LABELS = ("Fp1", "Cz", "EKG")
SIGNAL = np.random.default_rng(0).integers(-200, 200, (3, 5 * RATE)).astype(np.float64)
SECRET = "Mustermann"


def everything(recording: Recording) -> np.ndarray:
    return recording.read(range(len(recording.channels)))


def refused(path: Path) -> Reason:
    with pytest.raises(ReadError) as caught:
        read(path)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value.reason


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


# --- EEGLAB -----------------------------------------------------------------------------------------------------------


def eeglab(path: Path, *, samples_beside: bool = False, trials: int = 1, boundary: float | None = None) -> Path:
    """As EEGLAB saves a data set: the structure `EEG`, of which readers need these fields."""
    points = SIGNAL.shape[1] // trials
    data: object = np.asarray(SIGNAL.reshape(3, trials, points).transpose(0, 2, 1).squeeze(), np.float32)
    if samples_beside:
        SIGNAL.T.astype("<f4").tofile(path.with_suffix(".fdt"))
        data = f"{path.stem}.fdt"
    events = [("square", 1.0 + RATE, 0.0)]
    if boundary is not None:
        events.append(("boundary", 0.5 + 2 * RATE, boundary * RATE))
    savemat(
        path,
        {
            "EEG": {
                "setname": SECRET,
                "subject": SECRET,
                "nbchan": 3.0,
                "pnts": float(points),
                "trials": float(trials),
                "srate": float(RATE),
                "xmin": 0.0,
                "xmax": (points - 1) / RATE,
                "times": np.arange(points) / RATE,
                "data": data,
                "icawinv": [],
                "chanlocs": np.array([(name,) for name in LABELS], dtype=[("labels", object)]),
                "event": np.array(events, dtype=[("type", object), ("latency", object), ("duration", object)]),
                "epoch": np.array([(1.0,)] * (trials if trials > 1 else 0), dtype=[("event", object)]),
            }
        },
    )
    return path


@pytest.mark.parametrize("samples_beside", [False, True])
def test_an_eeglab_data_set_comes_in_microvolts_with_its_events(tmp_path: Path, samples_beside: bool):
    recording = read(eeglab(tmp_path / "a.set", samples_beside=samples_beside))
    assert (recording.channels, recording.rate, recording.gap_seconds) == (LABELS, RATE, 0.0)
    np.testing.assert_allclose(everything(recording), SIGNAL, atol=0.01)
    assert [(event.onset, event.code) for event in recording.events] == [(1.0, "square")]


def test_its_samples_beside_it_are_part_of_it_and_stay_in_their_file(tmp_path: Path):
    path = eeglab(tmp_path / "a.set", samples_beside=True)
    assert [part.name for part in content_files(path)] == ["a.set", "a.fdt"]
    assert not isinstance(read(path).data, np.ndarray)


def test_what_eeglab_cut_out_is_a_hole_and_its_event_takes_no_time(tmp_path: Path):
    recording = read(eeglab(tmp_path / "a.set", boundary=7.5))
    assert recording.gap_seconds == 7.5
    assert [(event.code, event.duration) for event in recording.events] == [("square", 0.0), ("boundary", 0.0)]


def test_a_data_set_of_trials_is_refused_as_such(tmp_path: Path):
    assert refused(eeglab(tmp_path / "a.set", trials=5)) is Reason.EPOCHED


def test_an_fdt_that_ends_early_is_truncated(tmp_path: Path):
    path = eeglab(tmp_path / "a.set", samples_beside=True)
    cut(path.with_suffix(".fdt"), 0.99)
    assert refused(path) is Reason.TRUNCATED


def test_an_fdt_of_another_name_is_asked_for(tmp_path: Path):
    path = eeglab(tmp_path / "a.set", samples_beside=True)
    path.rename(tmp_path / "b.set")
    assert refused(tmp_path / "b.set") is Reason.UNREADABLE


# --- CNT: two kinds of file with one suffix ---------------------------------------------------------------------------


def neuroscan(path: Path, *, width: int = 2, missing: int = 0) -> Path:
    """Version 3.0, samples multiplexed; a channel's calibration is such that its unit is 1 µV."""
    samples = SIGNAL.shape[1]
    header = bytearray(900)
    header[:11] = b"Version 3.0"
    header[121 : 121 + len(SECRET)] = SECRET.encode()
    data = SIGNAL[:, : samples - missing].T.astype(f"<i{width}").tobytes()
    for place, kind, value in [
        (370, "<H", 3),
        (376, "<H", RATE),
        (864, "<i", samples),
        (886, "<i", 900 + 3 * 75 + len(data)),
    ]:
        struct.pack_into(kind, header, place, value)
    for label in LABELS:
        channel = bytearray(75)
        channel[: len(label)] = label.encode()
        struct.pack_into("<f", channel, 59, 204.8)
        struct.pack_into("<f", channel, 71, 1.0)
        header += channel
    event = struct.pack("<HBcl", 4, 0, b"\0", 900 + 3 * 75 + RATE * 3 * width)
    table = struct.pack("<bii", 1, len(event), 0) + event
    path.write_bytes(bytes(header) + data + table)
    return path


@pytest.mark.parametrize("width", [2, 4])
def test_neuroscan_cnt_comes_in_microvolts_whatever_its_width(tmp_path: Path, width: int):
    recording = read(neuroscan(tmp_path / "a.cnt", width=width))
    assert (recording.channels, recording.rate, recording.notes) == (LABELS, RATE, ())
    np.testing.assert_allclose(everything(recording), SIGNAL, atol=0.01)
    assert [event.code for event in recording.events] == ["4"]
    assert recording.events[0].onset == pytest.approx(1.0, abs=1.01 / RATE)


def test_a_neuroscan_count_that_promises_a_little_more_is_put_up_with_and_noted(tmp_path: Path):
    recording = read(neuroscan(tmp_path / "a.cnt", missing=20))
    assert (recording.samples, recording.notes) == (SIGNAL.shape[1] - 20, ("truncated_tail",))
    np.testing.assert_allclose(everything(recording), SIGNAL[:, :-20], atol=0.01)


def test_a_neuroscan_file_that_lost_more_is_truncated(tmp_path: Path):
    assert refused(neuroscan(tmp_path / "a.cnt", missing=100)) is Reason.TRUNCATED
    assert refused(cut(neuroscan(tmp_path / "b.cnt"), 0.5)) is Reason.TRUNCATED


def ant(path: Path) -> Path:
    channels = pyeep.create_channel_info()
    for label, reference in zip(LABELS, ("CPz", "CPz", "Fp1"), strict=True):
        pyeep.add_channel(channels, label, reference, "uV")
    handle = pyeep.write_cnt(str(path), RATE, channels, 0)
    pyeep.add_samples(handle, SIGNAL.T.ravel().tolist(), 3)
    pyeep.close(handle)
    return path


def test_ant_cnt_comes_in_microvolts_and_names_what_has_another_reference(tmp_path: Path):
    recording = read(ant(tmp_path / "a.cnt"))
    assert (recording.channels, recording.rate) == (("Fp1", "Cz", "EKG-Fp1"), RATE)
    np.testing.assert_allclose(everything(recording), SIGNAL, atol=0.01)


def test_damage_that_ends_the_library_of_ant_does_not_end_ours(tmp_path: Path):
    content = bytearray(ant(tmp_path / "a.cnt").read_bytes())
    generator = np.random.default_rng(1)
    for case in range(6):
        broken = content.copy()
        for place in generator.integers(12, 600, 30):
            broken[place] = generator.integers(256)
        path = tmp_path / f"{case}.cnt"
        path.write_bytes(broken)
        with contextlib.suppress(ReadError):
            assert read(path).samples > 0
    assert refused(cut(tmp_path / "a.cnt", 0.5)) is Reason.UNREADABLE


# --- EGI --------------------------------------------------------------------------------------------------------------


def mff(path: Path, *, pause_seconds: float = 0.0) -> Path:
    """Two blocks, the second after a pause where one is asked for."""
    half = SIGNAL.shape[1] // 2
    samples = BinWriter(RATE)
    samples.add_block(SIGNAL[:, :half].astype(np.float32))
    pause_us = round(pause_seconds * 1e6) if pause_seconds else None
    samples.add_block(SIGNAL[:, half:].astype(np.float32), offset_us=pause_us)
    writer = mffpy.Writer(path)
    writer.addxml("fileInfo", recordTime=datetime(2020, 2, 2, tzinfo=UTC))
    writer.addbin(samples)
    writer.write()
    sensors = "".join(
        f"<sensor><name>{name}</name><number>{number}</number><type>0</type><x>0</x><y>0</y><z>0</z></sensor>"
        for number, name in enumerate(("", "Cz", ""), start=1)
    )
    layout = f"<name>three</name><sensors>{sensors}</sensors>"
    spaces = 'xmlns="http://www.egi.com/{}_mff"'.format
    (path / "sensorLayout.xml").write_text(f"<sensorLayout {spaces('sensorLayout')}>{layout}</sensorLayout>")
    (path / "coordinates.xml").write_text(
        f"<coordinates {spaces('coordinates')}><sensorLayout>{layout}</sensorLayout></coordinates>"
    )
    return path


def test_an_mff_folder_is_one_recording_with_the_names_of_its_own_layout(tmp_path: Path):
    path = mff(tmp_path / "a.mff")
    recording = read(path)
    assert canonical_names(recording.channels) == (None, "CZ", None)
    assert (recording.rate, recording.gap_seconds) == (RATE, 0.0)
    np.testing.assert_allclose(everything(recording), SIGNAL, atol=0.01)
    assert {part.name for part in content_files(path)} >= {"signal1.bin", "epochs.xml", "info.xml"}


def test_a_pause_in_an_mff_folder_is_told_and_not_filled_with_zeros(tmp_path: Path):
    recording = read(mff(tmp_path / "a.mff", pause_seconds=3.0))
    assert recording.gap_seconds == pytest.approx(3.0, abs=1.5 / RATE)
    np.testing.assert_allclose(everything(recording), SIGNAL, atol=0.01)


def test_segments_and_averages_of_egi_are_refused_as_such(tmp_path: Path):
    path = mff(tmp_path / "a.mff")
    (path / "categories.xml").write_text("<categories/>")
    assert refused(path) is Reason.EPOCHED


def egi_raw(path: Path, version: int = 4) -> Path:
    """Simple binary: continuous in even versions; a column a channel, then one an event code."""
    header = struct.pack(">i6hi5hih", version, 2020, 2, 2, 10, 0, 0, 0, RATE, 3, 1, 0, 0, SIGNAL.shape[1], 1)
    events = np.zeros((1, SIGNAL.shape[1]))
    events[0, RATE] = 1
    path.write_bytes(header + b"DIN1" + np.concatenate([SIGNAL, events]).T.astype(">f4").tobytes())
    return path


def test_egi_simple_binary_comes_in_microvolts_with_its_events(tmp_path: Path):
    recording = read(egi_raw(tmp_path / "a.raw"))
    assert recording.channels[:3] == ("E1", "E2", "E3")
    assert not any(canonical_names(recording.channels))
    np.testing.assert_allclose(recording.read(range(3)), SIGNAL, atol=0.01)
    assert [(event.onset, event.code) for event in recording.events] == [(1.0, "DIN1")]


def test_egi_simple_binary_in_segments_or_cut_short_is_refused(tmp_path: Path):
    assert refused(egi_raw(tmp_path / "a.raw", version=5)) is Reason.EPOCHED
    assert refused(cut(egi_raw(tmp_path / "b.raw"), 0.9)) is Reason.TRUNCATED


# --- FIF, paused ------------------------------------------------------------------------------------------------------


def paused_fif(path: Path) -> Path:
    """Of five buffers of a second the second is turned into a pause of one buffer, in the file and its directory."""
    info = mne.create_info(list(LABELS), RATE, "eeg")
    raw = mne.io.RawArray(SIGNAL * 1e-6, info, first_samp=1000, verbose="ERROR")
    raw.set_annotations(mne.Annotations([0.5, 1.5, 3.25], [0.0, 0.0, 0.0], ["before", "during", "after"]))
    raw.save(path, buffer_size_sec=1.0, verbose="ERROR")
    content = bytearray(path.read_bytes())
    buffer, pause, kind = 300, 301, 4
    size = SIGNAL[:, :RATE].size * 4
    tags = [at for at in range(len(content)) if content[at : at + 12] == struct.pack(">iii", buffer, kind, size)]
    buffers = [at for at in tags if struct.unpack_from(">i", content, at + 12)[0] in (0, -1)]
    entries = [at for at in tags if struct.unpack_from(">i", content, at + 12)[0] == buffers[1]]
    struct.pack_into(">iiiii", content, buffers[1], pause, 3, 4, buffers[2], 1)
    for at in entries:
        struct.pack_into(">iii", content, at, pause, 3, 4)
    path.write_bytes(content)
    return path


def test_a_pause_in_a_fif_file_is_told_and_not_filled_with_zeros(tmp_path: Path):
    recording = read(paused_fif(tmp_path / "a_raw.fif"))
    kept = np.delete(SIGNAL, slice(RATE, 2 * RATE), axis=1)
    assert (recording.samples, recording.gap_seconds) == (4 * RATE, 1.0)
    np.testing.assert_allclose(everything(recording), kept, atol=0.001)
    np.testing.assert_allclose(recording.read([1], RATE - 3, RATE + 4), kept[[1], RATE - 3 : RATE + 4], atol=0.001)
    assert [(event.onset, event.code) for event in recording.events] == [
        (0.5, "before"),
        (1.0, "during"),
        (2.25, "after"),
    ]


# --- Nicolet ----------------------------------------------------------------------------------------------------------


def nicolet(path: Path) -> Path:
    SIGNAL.T.astype("<i2").tofile(path)
    fields = {
        "start_ts": "2015-01-01 12:00:00.000",
        "num_samples": SIGNAL.shape[1],
        "sample_freq": RATE,
        "conversion_factor": 1.0,
        "num_channels": 3,
        "elec_names": f"[{','.join(LABELS)}]",
        "pat_id": 102,
        "adm_id": 1102,
        "rec_id": 100102,
        "duration_in_sec": SIGNAL.shape[1] // RATE,
        "sample_bytes": 2,
    }
    path.with_suffix(".head").write_text("".join(f"{name}={value}\n" for name, value in fields.items()))
    return path


def test_nicolet_data_is_two_files_and_comes_in_microvolts(tmp_path: Path):
    path = nicolet(tmp_path / "a.data")
    recording = read(path)
    assert (recording.channels, recording.rate) == (LABELS, RATE)
    np.testing.assert_allclose(everything(recording), SIGNAL, atol=0.01)
    assert [part.name for part in content_files(path)] == ["a.data", "a.head"]


def test_nicolet_data_cut_short_is_truncated(tmp_path: Path):
    assert refused(cut(nicolet(tmp_path / "a.data"), 0.9)) is Reason.TRUNCATED


# --- XDF --------------------------------------------------------------------------------------------------------------


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
    unit: str = "",
    promised: int | None = None,
) -> bytes:
    """Header, samples and footer (chunks 2, 3 and 6) of a stream of doubles, or of text where `values` is text."""
    name = struct.pack("<I", number)
    text = values.dtype.kind == "U"
    described = [("channel", [("label", label), ("unit", unit), ("type", "EEG")]) for label in labels]
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
    assert (recording.channels, recording.rate, recording.notes) == (LABELS, RATE, ())
    np.testing.assert_allclose(everything(recording), SIGNAL, atol=0.01)
    assert [(event.onset, event.code) for event in recording.events] == [(201 / RATE, "go")]


@pytest.mark.parametrize(("unit", "scale"), [("uV", 1), ("millivolts", 1e3), ("volts", 1e6)])
def test_the_unit_of_an_xdf_stream_is_the_one_that_it_states(tmp_path: Path, unit: str, scale: float):
    np.testing.assert_allclose(everything(read(xdf(tmp_path / "a.xdf", eeg(unit=unit)))), SIGNAL * scale, rtol=1e-5)


def test_an_xdf_stream_without_description_has_numbers_for_names_and_no_stated_unit(tmp_path: Path):
    recording = read(xdf(tmp_path / "a.xdf", eeg(labels=())))
    assert (recording.channels, recording.notes) == (("1", "2", "3"), ("unit_not_stated",))


def test_of_several_eeg_streams_the_one_with_electrodes_is_taken(tmp_path: Path):
    empty = eeg(1, STAMPS[:0])
    unnamed = eeg(2, labels=())
    assert read(xdf(tmp_path / "a.xdf", empty, unnamed, eeg(3))).channels == LABELS


def test_a_break_in_xdf_time_stamps_is_told_and_jitter_is_not(tmp_path: Path):
    jitter = np.random.default_rng(0).uniform(0, 0.01, len(STAMPS))
    assert read(xdf(tmp_path / "a.xdf", eeg(stamps=STAMPS + jitter))).gap_seconds == 0.0
    broken = read(xdf(tmp_path / "b.xdf", eeg(stamps=STAMPS + 1.5 * (STAMPS > 1002))))
    assert broken.gap_seconds == pytest.approx(1.5, abs=0.02)


def test_an_xdf_rate_that_time_stamps_contradict_is_not_believed(tmp_path: Path):
    recording = read(xdf(tmp_path / "a.xdf", eeg(rate=250)))
    assert recording.rate == pytest.approx(RATE, rel=1e-3)
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
def test_xdf_without_usable_eeg_is_refused(tmp_path: Path, content: tuple[bytes, ...], expected: Reason):
    assert refused(xdf(tmp_path / "a.xdf", *content)) is expected


def test_an_xdf_file_that_was_never_closed_is_read_up_to_its_last_whole_chunk(tmp_path: Path):
    path = xdf(tmp_path / "a.xdf", eeg(), markers())
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"sample_count") - 30])
    recording = read(path)
    assert (recording.samples, recording.notes) == (SIGNAL.shape[1], ("record_count_unknown",))


# --- Tables in text ---------------------------------------------------------------------------------------------------

EPOC = ("AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4")


def arff(path: Path, labels: tuple[str, ...] = EPOC) -> Path:
    columns = [f"@ATTRIBUTE {label} NUMERIC" for label in labels]
    rows = [",".join([*(f"{4000 + i + n}" for n in range(len(labels))), str(int(i >= 128))]) for i in range(256)]
    path.write_text("\n".join(["@RELATION EEG", *columns, "@ATTRIBUTE eyes {0,1}", "@DATA", *rows, ""]))
    return path


def test_arff_of_an_emotiv_epoc_has_its_rate_and_spans_of_its_label(tmp_path: Path):
    recording = read(arff(tmp_path / "a.arff"))
    assert (recording.channels, recording.rate, recording.seconds) == (EPOC, 128.0, 2.0)
    assert recording.read([1], 3, 5).tolist() == [[4004.0, 4005.0]]
    assert [(event.onset, event.duration, event.code) for event in recording.events] == [(0, 1, "0"), (1, 1, "1")]
    assert recording.notes == ("rate_and_unit_of_emotiv_epoc",)


def test_arff_of_another_device_lacks_a_rate_and_other_arff_is_no_recording(tmp_path: Path):
    assert refused(arff(tmp_path / "a.arff", EPOC[:8])) is Reason.UNSUPPORTED
    assert not is_recording(arff(tmp_path / "b.arff", ("petal", "sepal")))


def muse_monitor(path: Path, step_ms: int) -> Path:
    rows = [
        f"2017-11-02 12:{i * step_ms // 60000:02d}:{i * step_ms / 1000 % 60:06.3f},0.5,{800 + i},{810 + i}"
        for i in range(300)
    ]
    rows.insert(2, "2017-11-02 12:00:00.001,,,")
    path.write_text("\n".join(["TimeStamp,Delta_TP9,RAW_TP9,RAW_AF7", *rows, ""]))
    return path


def test_a_line_a_second_of_band_powers_is_not_eeg(tmp_path: Path):
    assert refused(muse_monitor(tmp_path / "a.csv", 1000)) is Reason.NOT_EEG


def test_a_line_a_sample_is(tmp_path: Path):
    recording = read(muse_monitor(tmp_path / "a.csv", 4))
    assert recording.channels == ("TP9", "AF7")
    assert recording.rate == pytest.approx(250.0)
    assert recording.read([0], 0, 3).tolist() == [[800.0, 801.0, 802.0]]


NUMBERS = [f"{i / 7:.5e}" for i in range(300)]


@pytest.mark.parametrize(
    "lines",
    [
        NUMBERS,
        ["# Sampling Rate (Hz):= 125.00", "# Labels:= EEG", *NUMBERS],
        ["Fp1,Cz,label", *(f"{number},1,0" for number in NUMBERS)],
    ],
)
def test_numbers_of_which_something_is_unknown_are_refused_by_name(tmp_path: Path, lines: list[str]):
    path = tmp_path / "a.txt"
    path.write_text("\n".join(lines))
    assert format_of(path) == "text of samples"
    assert refused(path) is Reason.UNSUPPORTED


@pytest.mark.parametrize(
    "lines",
    [NUMBERS[:150], ["subject,age", *(f"{number},30" for number in NUMBERS)], ["Take it as it is."] * 300],
)
def test_other_text_is_no_recording(tmp_path: Path, lines: list[str]):
    path = tmp_path / "a.txt"
    path.write_text("\n".join(lines))
    assert not is_recording(path)


# --- All of them ------------------------------------------------------------------------------------------------------

WRITERS: dict[str, Callable[[Path], Path]] = {
    "a.set": eeglab,
    "neuroscan.cnt": neuroscan,
    "ant.cnt": ant,
    "a.raw": egi_raw,
    "a.data": nicolet,
    "a.xdf": lambda path: xdf(path, eeg(), markers()),
    "a.arff": arff,
    "a.csv": lambda path: muse_monitor(path, 4),
}


@pytest.mark.parametrize("name", WRITERS)
def test_flipped_bytes_are_read_or_refused_but_never_a_crash(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
):
    path = WRITERS[name](tmp_path / name)
    sound = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(3 if name in ("ant.cnt", "a.set") else 25):
        content = bytearray(sound)
        for place in generator.integers(0, min(len(content), 2000), 8):
            content[place] = generator.integers(256)
        path.write_bytes(content)
        if is_recording(path):
            with contextlib.suppress(ReadError):
                assert everything(read(path)).size
    assert capfd.readouterr() == ("", "")
    assert not [str(w) for w in recwarn.list]


@pytest.mark.parametrize("suffix", sorted({suffix for kind in FORMATS for suffix in kind.suffixes}))
@pytest.mark.parametrize("content", [b"", b"no EEG at all\n" * 200, bytes(range(256)) * 20])
def test_garbage_is_refused_in_every_format(tmp_path: Path, suffix: str, content: bytes):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    assert refused(path) in (Reason.UNREADABLE, Reason.UNSUPPORTED)


def test_formats_that_are_known_and_not_read_name_a_way_out(tmp_path: Path):
    path = tmp_path / "a.trc"
    path.write_bytes(b"\0" * 300)
    with pytest.raises(ReadError, match=r"Micromed.*EDF") as caught:
        read(path)
    assert caught.value.reason is Reason.UNSUPPORTED
