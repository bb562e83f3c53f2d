"""Formats beside EDF, BDF, FIF and BrainVision. Files are written here: by other software, else as specified."""

import contextlib
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import mffpy
import mne
import numpy as np
import pytest
from antio.libeep import pyeep
from mffpy.bin_writer import BinWriter
from scipy.io import savemat

from labram.errors import ReadError, Reason
from labram.signals.electrodes import canonical_names
from labram.signals.readers import EEG_SUFFIXES, FORMATS, content_files, read
from labram.signals.recording import Recording

RATE = 200
LABELS = ("Fp1", "Cz", "EKG")
SIGNAL = np.random.default_rng(0).integers(-200, 200, (3, 5 * RATE)).astype(np.float64)
SECRET = "Mustermann"


def everything(recording: Recording) -> np.ndarray:
    return recording.read(range(len(recording.channels)))


Refused = Callable[[Path], Reason]


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
    assert (recording.channels, recording.sfreq, recording.gap_seconds) == (LABELS, RATE, 0.0)
    np.testing.assert_allclose(everything(recording), SIGNAL, atol=0.01)
    assert [(event.onset, event.code) for event in recording.events] == [(1.0, "square")]


def test_its_samples_beside_it_are_part_of_it_and_stay_in_their_file(tmp_path: Path):
    path = eeglab(tmp_path / "a.set", samples_beside=True)
    assert [part.name for part in content_files(path)] == ["a.set", "a.fdt"]
    assert not isinstance(read(path).data, np.ndarray)


def test_a_relative_path_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    eeglab(tmp_path / "a.set", samples_beside=True)
    monkeypatch.chdir(tmp_path)
    assert read(Path("../") / tmp_path.name / "a.set").channels == LABELS


def test_what_eeglab_cut_out_is_a_gap_and_its_event_takes_no_time(tmp_path: Path):
    recording = read(eeglab(tmp_path / "a.set", boundary=7.5))
    assert recording.gap_seconds == 7.5
    assert [(event.code, event.duration) for event in recording.events] == [("square", 0.0), ("boundary", 0.0)]


def test_a_data_set_of_trials_is_rejected_as_such(tmp_path: Path, refused: Refused):
    assert refused(eeglab(tmp_path / "a.set", trials=5)) is Reason.EPOCHED


def test_an_fdt_that_ends_early_is_truncated(tmp_path: Path, refused: Refused):
    path = eeglab(tmp_path / "a.set", samples_beside=True)
    cut(path.with_suffix(".fdt"), 0.99)
    assert refused(path) is Reason.TRUNCATED


def test_an_fdt_of_another_name_is_asked_for(tmp_path: Path, refused: Refused):
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
    assert (recording.channels, recording.sfreq, recording.notes) == (LABELS, RATE, ())
    np.testing.assert_allclose(everything(recording), SIGNAL, atol=0.01)
    assert [event.code for event in recording.events] == ["4"]
    assert recording.events[0].onset == pytest.approx(1.0, abs=1.01 / RATE)


def test_a_neuroscan_count_that_promises_a_little_more_is_put_up_with_and_noted(tmp_path: Path):
    recording = read(neuroscan(tmp_path / "a.cnt", missing=20))
    assert (recording.samples, recording.notes) == (SIGNAL.shape[1] - 20, ("truncated_tail",))
    np.testing.assert_allclose(everything(recording), SIGNAL[:, :-20], atol=0.01)


def test_a_neuroscan_file_that_lost_more_is_truncated(tmp_path: Path, refused: Refused):
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
    assert (recording.channels, recording.sfreq) == (("Fp1", "Cz", "EKG-Fp1"), RATE)
    np.testing.assert_allclose(everything(recording), SIGNAL, atol=0.01)


def test_damage_that_ends_the_library_of_ant_does_not_end_ours(tmp_path: Path, refused: Refused):
    content = bytearray(ant(tmp_path / "a.cnt").read_bytes())
    generator = np.random.default_rng(1)
    for case in range(3):
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
    assert (recording.sfreq, recording.gap_seconds) == (RATE, 0.0)
    np.testing.assert_allclose(everything(recording), SIGNAL, atol=0.01)
    assert {part.name for part in content_files(path)} >= {"signal1.bin", "epochs.xml", "info.xml"}


def test_a_pause_in_an_mff_folder_is_reported_and_not_filled_with_zeros(tmp_path: Path):
    recording = read(mff(tmp_path / "a.mff", pause_seconds=3.0))
    assert recording.gap_seconds == pytest.approx(3.0, abs=1.5 / RATE)
    np.testing.assert_allclose(everything(recording), SIGNAL, atol=0.01)


def test_segments_and_averages_of_egi_are_rejected_as_such(tmp_path: Path, refused: Refused):
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


def test_egi_simple_binary_in_segments_or_cut_short_is_rejected(tmp_path: Path, refused: Refused):
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


def test_a_pause_in_a_fif_file_is_reported_and_not_filled_with_zeros(tmp_path: Path):
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


def nicolet(path: Path, labels: tuple[str, ...] = LABELS, encoding: str = "utf-8") -> Path:
    SIGNAL.T.astype("<i2").tofile(path)
    fields = {
        "start_ts": "2015-01-01 12:00:00.000",
        "num_samples": SIGNAL.shape[1],
        "sample_freq": RATE,
        "conversion_factor": 1.0,
        "num_channels": 3,
        "elec_names": f"[{','.join(labels)}]",
        "pat_id": 102,
        "adm_id": 1102,
        "rec_id": 100102,
        "duration_in_sec": SIGNAL.shape[1] // RATE,
        "sample_bytes": 2,
    }
    head = "".join(f"{name}={value}\n" for name, value in fields.items())
    path.with_suffix(".head").write_text(head, encoding)
    return path


def test_nicolet_data_is_two_files_and_comes_in_microvolts(tmp_path: Path):
    path = nicolet(tmp_path / "a.data")
    recording = read(path)
    assert (recording.channels, recording.sfreq) == (LABELS, RATE)
    np.testing.assert_allclose(everything(recording), SIGNAL, atol=0.01)
    assert [part.name for part in content_files(path)] == ["a.data", "a.head"]


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_nicolet_labels_are_text_of_any_encoding(tmp_path: Path, encoding: str):
    labels = ("Fp1–Ref", "Cz–Ref", "Größe")
    assert read(nicolet(tmp_path / "a.data", labels, encoding)).channels == labels


def test_nicolet_data_cut_short_is_truncated(tmp_path: Path, refused: Refused):
    assert refused(cut(nicolet(tmp_path / "a.data"), 0.9)) is Reason.TRUNCATED


# --- All of them ------------------------------------------------------------------------------------------------------

WRITERS: dict[str, Callable[[Path], Path]] = {
    "a.set": eeglab,
    "neuroscan.cnt": neuroscan,
    "ant.cnt": ant,
    "a.raw": egi_raw,
    "a.data": nicolet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_flipped_bytes_are_read_or_rejected_but_never_a_crash(
    tmp_path: Path, name: str, survive_flips: Callable[[Path, int], None]
):
    survive_flips(WRITERS[name](tmp_path / name), 2 if name in ("ant.cnt", "a.set") else 25)


@pytest.mark.parametrize("suffix", sorted({suffix for kind in FORMATS for suffix in kind.suffixes}))
@pytest.mark.parametrize("content", [b"", b"no EEG at all\n" * 200, bytes(range(256)) * 20])
def test_garbage_is_rejected_in_every_format(tmp_path: Path, refused: Refused, suffix: str, content: bytes):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    assert refused(path) in ((Reason.UNREADABLE, Reason.UNSUPPORTED) if content else (Reason.DAMAGED,))


def test_the_documentation_has_every_format_and_suffix():
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    for kind in FORMATS:
        assert kind.name in text
        assert all(f"`{suffix}`" in text for suffix in kind.suffixes)
    assert all(f"`{suffix}`" in text for suffix in EEG_SUFFIXES)


def test_the_readme_counts_the_rows_of_the_formats():
    root = Path(__file__).parents[2]
    table = (root / "docs" / "formats.md").read_text().partition("| --- |")[2].partition("\n\n")[0]
    assert f"Reads {table.count(chr(10) + '| ')} file formats" in (root / "README.md").read_text()


def test_formats_that_are_known_and_not_read_name_a_way_out(tmp_path: Path):
    path = tmp_path / "a.trc"
    path.write_bytes(b"\0" * 300)
    with pytest.raises(ReadError, match=r"Micromed.*EDF") as caught:
        read(path)
    assert caught.value.reason is Reason.UNSUPPORTED
