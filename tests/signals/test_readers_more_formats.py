"""Recordings of further recorders: read sample by sample, or named as not read."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import edfio
import numpy as np
import pybv
import pytest
from scipy.io import savemat

from labram.errors import ReadError, Reason
from labram.signals.readers import content_files, format_of, is_recording, read
from labram.signals.recording import Recording

RATE, LABELS = 200, ("Fp1", "Fp2", "C3")
STEPS = np.random.default_rng(0).integers(-2000, 2000, (len(LABELS), 20 * RATE))


def everything(recording: Recording) -> np.ndarray:
    assert recording.sfreq == RATE
    return recording.read(range(len(recording.channels)))


def problem(path: Path) -> ReadError:
    with pytest.raises(ReadError) as caught:
        read(path)
    assert caught.value.file == path.name
    return caught.value


def persyst(path: Path, *, type_: int = 0, file: str = "A.DAT", times: str = "", birth: str = "") -> Path:
    channels = "".join(f"{label}-Ref={index}\n" for index, label in enumerate(LABELS, 1))
    path.write_text(
        f"[FileInfo]\nFile={file}\nFileType=Interleaved\nSamplingRate={RATE}\nHeaderLength=16\nCalibration=0.1\n"
        f"WaveformCount={len(LABELS)}\nDataType={type_}\n[Patient]\nFirst=X\n{birth}[ChannelMap]\n{channels}{times}"
        "[Comments]\n3.5,1.5,0,100,eyes=closed, again\n",
        encoding="utf-8",
    )
    values = STEPS.T.astype("<i2" if type_ == 0 else "<i4").tobytes()
    path.with_name("a.dat").write_bytes(bytes(16) + values)
    return path


@pytest.mark.parametrize("type_", [0, 7])
def test_persyst(tmp_path: Path, type_: int) -> None:
    recording = read(persyst(tmp_path / "a.lay", type_=type_))
    np.testing.assert_allclose(everything(recording), STEPS * 0.1, atol=1e-9)
    np.testing.assert_allclose(recording.read([2, 0], 100, 200), STEPS[[2, 0], 100:200] * 0.1, atol=1e-9)
    assert [(event.onset, event.duration, event.code) for event in recording.events] == [
        (3.5, 1.5, "eyes=closed, again")
    ]
    assert (recording.channels[0], recording.unit, recording.gap_seconds) == ("Fp1-Ref", "µV", None)
    assert [part.name for part in content_files(tmp_path / "a.lay")] == ["a.lay", "a.dat"]


@pytest.mark.parametrize(
    ("times", "gap"),
    [
        ("0=100.0", None),
        ("0=86399.0\n2000=9.0", 0.0),
        ("0=10\n400=42", 30.0),
        ("0=nan\n400=12\n800=44", 30.0),
        ("0=10\n400=nan\n800=44", 30.0),
        ("0=10,5\n400=42,5", 30.0),
        ("0=10\n400=12\n800=nan", None),
    ],
)
def test_persyst_tells_gaps_by_the_times_of_samples(tmp_path: Path, times: str, gap: float | None) -> None:
    assert read(persyst(tmp_path / "a.lay", times=f"[SampleTimes]\n{times}\n")).gap_seconds == gap


def test_persyst_that_names_a_file_elsewhere_or_none_is_refused(tmp_path: Path) -> None:
    assert problem(persyst(tmp_path / "a.lay", file="../a.dat")).reason is Reason.OUTSIDE
    persyst(tmp_path / "a.lay", file="b.dat")
    (tmp_path / "a.dat").unlink()
    assert problem(tmp_path / "a.lay").reason is Reason.UNREADABLE


@pytest.mark.parametrize("number", ["99999999", "9" * 40, "-1", "0", "2"])
def test_a_number_of_channels_that_the_list_has_not_is_refused(tmp_path: Path, number: str) -> None:
    """Of 100 million numbers a list would take gigabytes."""
    lay, cdt = persyst(tmp_path / "a.lay"), curry(tmp_path / "b.cdt").with_suffix(".cdt.dpa")
    for path, entry in ((lay, f"WaveformCount={len(LABELS)}"), (cdt, f"NumChannels = {len(LABELS) + 1}")):
        text = path.read_text()
        assert entry in text
        path.write_text(text.replace(entry, entry.rstrip("0123456789") + number))
    for path in (lay, tmp_path / "b.cdt"):
        assert problem(path).reason is Reason.UNREADABLE


@pytest.fixture
def nedf(tmp_path: Path) -> Path:
    """Blocks of five samples, each with one of the accelerometer; the last is not full, and has a trigger."""
    steps = STEPS[:, : 20 * RATE - 3]
    names = "".join(f"<C{index}>{label}</C{index}>" for index, label in enumerate(LABELS))
    header = (
        f"<a><NEDFversion>1.4</NEDFversion><NumberOfChannelsOfAccelerometer>3</NumberOfChannelsOfAccelerometer>"
        f"<EEGSettings><TotalNumberOfChannels>{len(LABELS)}</TotalNumberOfChannels>"
        f"<EEGSamplingRate>{RATE}</EEGSamplingRate><NumberOfRecordsOfEEG>{steps.shape[1]}</NumberOfRecordsOfEEG>"
        f"<EEGMontage>{names}</EEGMontage></EEGSettings></a>"
    )
    content = [header.encode().ljust(10240, b"\0")]
    for sample, values in enumerate(steps.T):
        if sample % 5 == 0:
            content.append(bytes(6))
        content += [int(value).to_bytes(3, "big", signed=True) for value in values]
        content.append(struct.pack(">i", 7 if sample == steps.shape[1] - 1 else 0))
    (tmp_path / "a.nedf").write_bytes(b"".join(content))
    return tmp_path / "a.nedf"


def test_nedf(nedf: Path) -> None:
    recording = read(nedf)
    expected = STEPS[:, :-3] * (2.4 / (6.0 * 8388607) * 1e6)
    np.testing.assert_allclose(everything(recording), expected, rtol=1e-12)
    np.testing.assert_allclose(recording.read([1], 13, 28), expected[[1], 13:28], rtol=1e-12)
    assert [(event.onset, event.code) for event in recording.events] == [((20 * RATE - 4) / RATE, "7")]
    nedf.write_bytes(nedf.read_bytes()[:-1])
    assert problem(nedf).reason is Reason.TRUNCATED


def test_nedf_whose_header_expands_is_refused(nedf: Path) -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "bbbb">]>' + nedf.read_bytes()[:10000]
    nedf.write_bytes(bomb + nedf.read_bytes()[10000 + 33 :])
    assert problem(nedf).reason is Reason.UNREADABLE


def curry(path: Path, *, order: str = "SAMP", trials: int = 1, unit: str = "   DataUnit = mV\n") -> Path:
    """Write a header that lists a channel that is not recorded, and a trigger before the electrodes."""
    labels = "".join(f"{label}\n" for label in (*LABELS, "Ref"))
    lists = (
        f"LABELS START_LIST      # Do not edit!\n{labels}LABELS END_LIST\n"
        "LABELS_OTHERS START_LIST\nTrigger\nLABELS_OTHERS END_LIST\n"
    )
    header = (
        f"DATA_PARAMETERS START\n   NumSamples = {STEPS.shape[1]}\n   NumChannels = {len(LABELS) + 1}\n"
        f"   NumTrials = {trials}\n   SampleFreqHz = 0\n   SampleTimeUsec = {1e6 / RATE:g}\n   DataFormat = FLOAT\n"
        f"   DataSampOrder = {order}\n   DataByteOrder = INTEL\nDATA_PARAMETERS END\n"
        f"DEVICE_PARAMETERS START\n{unit}   NumChanThisGroup = 3\nDEVICE_PARAMETERS END\n"
        "DEVICE_PARAMETERS_OTHERS START\n   DataUnit = a.U.\nDEVICE_PARAMETERS_OTHERS END\n"
        "CHAN_IN_FILE START_LIST\n2\n3\n4\n0\nCHAN_IN_FILE END_LIST\n"
        "CHAN_IN_FILE_OTHERS START_LIST\n1\nCHAN_IN_FILE_OTHERS END_LIST\n"
    )
    rows = np.vstack([np.full((1, STEPS.shape[1]), 7), STEPS * 1e-3]).T.astype("<f4").tobytes()
    events = "NUMBER_LIST START_LIST\n  300\t0\t5\t300\t300\t0\nNUMBER_LIST END_LIST\n"
    files = {".cdt": rows, ".cdt.dpa": header + lists, ".cdt.ceo": events}
    if path.suffix == ".dap":
        files = {".dat": rows, ".dap": header, ".rs3": lists, ".cef": events}
    for suffix, content in files.items():
        path.with_suffix(suffix).write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", ["a.cdt", "a.dap"])
def test_curry(tmp_path: Path, name: str) -> None:
    path = curry(tmp_path / name)
    recording = read(path)
    assert (recording.channels, recording.unit) == ((*LABELS, "Trigger"), "mV")
    np.testing.assert_allclose(everything(recording)[:3], STEPS, rtol=1e-6)
    assert [(event.onset, event.code) for event in recording.events] == [(1.5, "5")]
    assert len(content_files(path)) == (3 if name == "a.cdt" else 4)
    with content_files(path)[0 if name == "a.cdt" else 1].open("r+b") as samples:
        samples.truncate(2000)
    assert problem(path).reason is Reason.TRUNCATED


@pytest.mark.parametrize(
    ("unit", "factor", "stated", "notes"),
    [
        ("   DataUnit = uV\n", 1e-3, "µV", ()),
        ("   DataUnit = fT\n", 1e-3, "", ("unit_not_stated",)),
        ("   DataUnit =\n", 1e-3, "", ("unit_not_stated",)),
        ("", 1e-3, "", ("unit_not_stated",)),
    ],
)
def test_curry_without_a_unit_is_noted(
    tmp_path: Path, unit: str, factor: float, stated: str, notes: tuple[str, ...]
) -> None:
    recording = read(curry(tmp_path / "a.cdt", unit=unit))
    assert (recording.unit, recording.notes) == (stated, notes)
    np.testing.assert_allclose(everything(recording)[:3], STEPS * factor, rtol=1e-6)


def test_curry_of_another_layout_or_without_its_files_is_refused(tmp_path: Path) -> None:
    assert problem(curry(tmp_path / "a.cdt", order="CHAN")).reason is Reason.UNSUPPORTED
    assert problem(curry(tmp_path / "a.cdt", trials=3)).reason is Reason.EPOCHED
    (tmp_path / "a.cdt.dpa").unlink()
    assert problem(tmp_path / "a.cdt").reason is Reason.UNREADABLE


def nihon_kohden(path: Path, blocks: int = 1) -> Path:
    """Samples in blocks: addresses of blocks from 0x400, of the samples after 0x1800."""
    head = bytearray(0x1800)
    head[:16] = head[0x81:0x91] = b"EEG-1100C V01.00"
    head[0x91], head[0x92:0x96], head[0x17FE] = 1, struct.pack("<I", 0x400), 1
    head[0x400 + 17] = blocks
    content = bytes(head)
    for index, steps in enumerate(np.split(STEPS, blocks, axis=1)):
        described = bytearray(0x27)
        described[0x1A:0x20] = struct.pack("<HI", RATE | 0xC000, steps.shape[1] * 10 // RATE)
        described[0x26] = len(LABELS)
        head_at = 0x400 + 18 + 20 * index
        content = content[:head_at] + struct.pack("<I", len(content)) + content[head_at + 4 :]
        numbers = b"".join(bytes([number]) + bytes(9) for number in (0, 1, 4))
        rows = np.vstack([steps, np.zeros((1, steps.shape[1]), int)]).T + 0x8000
        content += bytes(described) + numbers + rows.astype("<u2").tobytes()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("blocks", [1, 2])
def test_nihon_kohden(tmp_path: Path, blocks: int) -> None:
    path = nihon_kohden(tmp_path / "a.EEG", blocks)
    (tmp_path / "a.21e").write_text("[ELECTRODE]\n0000=EEG Fp1\n")
    recording = read(path)
    assert recording.channels == ("EEG Fp1", "FP2", "C3")
    gain = (3199.902 + 3200) / 65535
    expected = (STEPS + 32768) * gain - 3200
    np.testing.assert_allclose(everything(recording), expected, atol=1e-6)
    np.testing.assert_allclose(recording.read([0], 1500, 2500), expected[[0], 1500:2500], atol=1e-6)
    assert recording.gap_seconds == (0.0 if blocks == 1 else None)
    assert recording.events == ()
    path.write_bytes(path.read_bytes()[:-100])
    assert problem(path).reason is Reason.TRUNCATED


def test_a_v_amp_has_a_channel_more_than_its_header_states(tmp_path: Path) -> None:
    pybv.write_brainvision(
        data=STEPS * 1e-7, sfreq=RATE, ch_names=list(LABELS), fname_base="a", folder_out=tmp_path, resolution=0.1,
        fmt="binary_int16", events=np.array([[RATE, 4]]),
    )  # fmt: skip
    header = (tmp_path / "a.vhdr").read_text()
    assert read((tmp_path / "a.vhdr").rename(tmp_path / "a.ahdr")).channels == LABELS, "a header of another name"
    first, rest = header.split("\n", 1)
    assert "Exchange" in first
    (tmp_path / "a.ahdr").write_text("Brain Vision V-Amp Data Header File Version 1.0\n" + rest)
    rows = np.vstack([STEPS, np.full((1, STEPS.shape[1]), 9)]).T
    (tmp_path / "a.eeg").write_bytes(rows.astype("<i2").tobytes())
    recording = read(tmp_path / "a.ahdr")
    assert recording.channels == LABELS
    np.testing.assert_allclose(everything(recording), STEPS * 0.1, atol=1e-6)


@pytest.fixture
def edf(tmp_path: Path) -> Path:
    signals = [edfio.EdfSignal(row * 0.1, RATE, label=label) for row, label in zip(STEPS, LABELS, strict=True)]
    edfio.Edf(signals, annotations=[edfio.EdfAnnotation(2.5, 1.0, "T1")], data_record_duration=1).write(
        tmp_path / "a.edf"
    )
    return tmp_path / "a.edf"


@pytest.mark.parametrize("name", ["a.edf.gz", "A.EDF.GZ", "a.rec", "a.rec.gz"])
def test_edf_of_other_names(edf: Path, name: str) -> None:
    content = edf.read_bytes()
    path = edf.with_name(name)
    path.write_bytes(gzip.compress(content) if name.lower().endswith(".gz") else content)
    assert is_recording(path)
    recording = read(path)
    np.testing.assert_array_equal(everything(recording), everything(read(edf)))
    assert recording.events == read(edf).events


def test_compressed_files_that_are_damaged_or_bombs_are_refused(edf: Path) -> None:
    path = edf.with_name("b.edf.gz")
    packed = gzip.compress(edf.read_bytes())
    for content, reason in (
        (packed[:-2000], Reason.TRUNCATED),
        (b"no archive" * 100, Reason.UNREADABLE),
        (gzip.compress(bytes(1 << 27), 1), Reason.DAMAGED),
        (gzip.compress(b"no EDF" * 100), Reason.UNREADABLE),
    ):
        path.write_bytes(content)
        assert problem(path).reason is reason


STRUCTURE = {"trial": np.zeros((2, 9)), "fsample": 200.0, "label": np.array(["Fp1", "Fp2"], object)}
NAMED: dict[str, Callable[[Path], object]] = {
    "a.easy": lambda path: path.write_text("1\t2\n" * 20),
    "a.hea": lambda path: path.write_text("a 2 200 4000\n"),
    "a.eeg": lambda path: path.write_bytes(bytes(400)),
    "a.set.gz": lambda path: path.write_bytes(gzip.compress(b"a")),
    "a.edf.zip": lambda path: path.write_bytes(b"PK"),
    "fieldtrip.mat": lambda path: savemat(path, {"data": STRUCTURE}),
    "packed.mat": lambda path: savemat(path, {"first": np.zeros((400, 400)), "data": STRUCTURE}, do_compression=True),
    "matrix.mat": lambda path: savemat(path, {"X": np.zeros((2, 9)), "srate": 200.0}),
    "bci2000.dat": lambda path: path.write_bytes(b"BCI2000V= 1.1 HeaderLen=  9000" + bytes(400)),
    "OpenBCI.txt": lambda path: path.write_text("%OpenBCI Raw EXG Data\n%Number of channels = 8\n1, 2.0\n"),
}


@pytest.mark.parametrize("name", NAMED)
def test_recordings_without_a_reader_are_named(tmp_path: Path, name: str) -> None:
    NAMED[name](tmp_path / name)
    assert problem(tmp_path / name).reason is Reason.UNSUPPORTED


def test_neuroscan_epochs_are_named_as_such(tmp_path: Path) -> None:
    for name in ("a.eeg", "a.avg"):
        (tmp_path / name).write_bytes(b"Version 3.0\0" + bytes(900))
        assert problem(tmp_path / name).reason is Reason.EPOCHED


OTHERS: dict[str, Callable[[Path], object]] = {
    "positions.mat": lambda path: savemat(path, {"chanlocs": {"X": 1.0, "labels": "Fp1"}}, do_compression=True),
    "settings.dat": lambda path: path.write_text("gain = 5\n" * 400),
    "notes.zip": lambda path: path.write_bytes(b"PK"),
    "table.csv.gz": lambda path: path.write_bytes(gzip.compress(b"a,b")),
    "sound.rec": lambda path: path.write_bytes(b"RIFF" + bytes(600)),
    "cut.mat": lambda path: path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(126) + b"IM" + b"\x0f\0\0\0\xff\xff\xff\x7f"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_no_recordings(tmp_path: Path, name: str) -> None:
    OTHERS[name](tmp_path / name)
    assert format_of(tmp_path / name) is None
