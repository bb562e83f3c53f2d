"""Reading files of every format, sound and damaged. Sound ones are written here, by other software where it exists."""

import contextlib
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import edfio
import mne
import numpy as np
import pybv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labram.errors import ReadError, Reason
from labram.signals.readers import content_files, format_of, is_recording, read, read_events
from labram.signals.recording import Recording

RATE = 256
SECRET = "Mustermann"
SIGNAL = np.random.default_rng(0).uniform(-200, 200, (3, 40 * RATE))
LABELS = ("Fp1", "Cz", "EKG")


def write_edf(path: Path, *, kind: type = edfio.Edf, unit: str = "uV", signal: np.ndarray = SIGNAL) -> Path:
    channel = edfio.BdfSignal if kind is edfio.Bdf else edfio.EdfSignal
    scale = {"uV": 1.0, "mV": 1e-3, "V": 1e-6}[unit]
    kind(
        [
            channel(row * scale, RATE, label=label, physical_dimension=unit)
            for row, label in zip(signal, LABELS, strict=True)
        ],
        patient=edfio.Patient(name=SECRET),
        annotations=[edfio.EdfAnnotation(2.5, 1.0, "T1"), edfio.EdfAnnotation(1.0, None, "T0")],
        data_record_duration=1,
    ).write(path)
    return path


def cut(path: Path, records: float) -> Path:
    """Keep this many of 40 data records."""
    content = path.read_bytes()
    header = int(content[184:192])
    path.write_bytes(content[: header + round((len(content) - header) * records / 40)])
    return path


def everything(recording: Recording) -> np.ndarray:
    return recording.read(range(len(recording.channels)))


def reason(path: Path) -> Reason:
    with pytest.raises(ReadError) as caught:
        read(path)
    assert caught.value.file == path.name
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value.reason


def assert_holds(recording: Recording, *, within_uv: float, signal: np.ndarray = SIGNAL) -> None:
    assert recording.sfreq == RATE
    assert recording.channels == LABELS
    np.testing.assert_allclose(everything(recording), signal, atol=within_uv)


@pytest.mark.parametrize("unit", ["uV", "mV", "V"])
@pytest.mark.parametrize(("kind", "suffix"), [(edfio.Edf, "edf"), (edfio.Bdf, "bdf")])
def test_edf_and_bdf_come_in_microvolts_whatever_their_unit(tmp_path: Path, kind: type, suffix: str, unit: str):
    recording = read(write_edf(tmp_path / f"a.{suffix}", kind=kind, unit=unit))
    assert_holds(recording, within_uv=0.1)
    assert recording.unit == {"uV": "µV", "mV": "mV", "V": "V"}[unit]


def test_annotations_become_events_in_order(tmp_path: Path):
    events = read(write_edf(tmp_path / "a.edf")).events
    assert [(event.onset, event.duration, event.code) for event in events] == [(1.0, 0.0, "T0"), (2.5, 1.0, "T1")]


@pytest.mark.parametrize("suffix", ["edf", "bdf", "fif", "vhdr"])
def test_samples_are_read_when_asked_for_and_any_block_of_them_is_what_the_whole_has(tmp_path: Path, suffix: str):
    path = WRITERS[suffix](tmp_path)
    recording = read(path)
    assert not isinstance(recording.data, np.ndarray)
    whole = everything(recording)
    for start, stop in [(0, 1), (RATE - 3, 5 * RATE + 7), (recording.samples - 2, recording.samples), (9, 9)]:
        np.testing.assert_array_equal(recording.read([2, 0], start, stop), whole[[2, 0], start:stop])
    with pytest.raises(ValueError, match="samples"):
        recording.read([0], 0, recording.samples + 1)


def test_what_is_read_belongs_to_the_reader(tmp_path: Path):
    recording = read(muse(tmp_path / "a.csv"))
    recording.read([0])[:] = 0.0
    assert recording.read([0]).any()


def test_samples_that_vanish_after_opening_are_a_reading_error(tmp_path: Path):
    path = write_edf(tmp_path / "a.edf")
    recording = read(path)
    cut(path, 10)
    with pytest.raises(ReadError) as caught:
        everything(recording)
    assert caught.value.reason is Reason.UNREADABLE
    assert caught.value.__cause__ is None


def test_signals_of_another_rate_than_the_electrodes_are_left_out_with_a_note(tmp_path: Path):
    signals = [
        edfio.EdfSignal(SIGNAL[1], RATE, label="Cz", physical_dimension="uV"),
        edfio.EdfSignal(SIGNAL[0][::2], RATE / 2, label="EKG", physical_dimension="uV"),
    ]
    edfio.Edf(signals).write(tmp_path / "a.edf")
    recording = read(tmp_path / "a.edf")
    assert (recording.channels, recording.sfreq, recording.samples) == (("Cz",), RATE, SIGNAL.shape[1])
    assert recording.notes == ("channels_of_other_rates",)


def test_a_trigger_channel_gives_the_values_it_rises_to(tmp_path: Path):
    levels = np.zeros(SIGNAL.shape[1])
    levels[RATE : RATE + 5], levels[RATE + 5 : 2 * RATE], levels[3 * RATE] = 3, 7, 300
    info = mne.create_info(["Cz", "STI"], RATE, ["eeg", "stim"])
    mne.io.RawArray(np.stack([SIGNAL[0] * 1e-6, levels]), info, first_samp=99, verbose="ERROR").save(
        tmp_path / "a_raw.fif", verbose="ERROR"
    )
    events = read(tmp_path / "a_raw.fif").events
    assert [(event.onset * RATE, event.code) for event in events] == [
        (RATE, "3"),
        (RATE + 5, "7"),
        (3 * RATE, "300"),
    ]


def test_a_stated_unit_correction_is_applied(tmp_path: Path):
    path = write_edf(tmp_path / "a.edf")
    np.testing.assert_allclose(everything(read(path, unit_scale=1000.0)), 1000.0 * everything(read(path)))


def test_repeated_labels_stay_as_the_file_has_them(tmp_path: Path):
    edfio.Edf([edfio.EdfSignal(row, RATE, label="T8-P8") for row in SIGNAL[:2]]).write(tmp_path / "a.edf")
    assert read(tmp_path / "a.edf").channels == ("T8-P8", "T8-P8")


def test_an_edf_that_lost_its_last_records_is_kept_with_a_note(tmp_path: Path):
    recording = read(cut(write_edf(tmp_path / "a.edf"), 38.5))
    assert recording.seconds == 38.0
    assert recording.notes == ("truncated_tail",)


def test_an_edf_that_lost_more_is_truncated(tmp_path: Path):
    assert reason(cut(write_edf(tmp_path / "a.edf"), 37.5)) is Reason.TRUNCATED
    assert reason(cut(write_edf(tmp_path / "b.edf"), 0)) is Reason.TRUNCATED


def test_an_edf_without_footer_has_an_unknown_number_of_records(tmp_path: Path):
    path = write_edf(tmp_path / "a.edf")
    content = bytearray(path.read_bytes())
    content[236:244] = b"-1      "
    path.write_bytes(content)
    assert read(path).seconds == 40.0
    assert read(path).notes == ("record_count_unknown",)


def interrupted(path: Path, kind: type) -> Path:
    """As `write_edf`, but 30 seconds pass between the 20th and the 21st of its 40 records."""
    content = write_edf(path, kind=kind).read_bytes().replace(b"DF+C", b"DF+D", 1)
    for record in range(39, 19, -1):
        content = content.replace(b"+%d\x14\x14" % record, b"+%d\x14\x14" % (record + 30))
    content = content.replace(b"+2.5\x151\x14T1", b"+52.5\x151\x14T")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("kind", "suffix"), [(edfio.Edf, "edf"), (edfio.Bdf, "bdf")])
def test_an_interrupted_file_reports_its_gap_and_keeps_events_at_their_samples(tmp_path: Path, kind: type, suffix: str):
    recording = read(interrupted(tmp_path / f"a.{suffix}", kind))
    assert (recording.seconds, recording.gap_seconds) == (40.0, 30.0)
    assert [(event.onset, event.code) for event in recording.events] == [(1.0, "T0"), (22.5, "T")]


def test_an_interrupted_file_whose_records_have_no_times_is_damaged(tmp_path: Path):
    path = interrupted(tmp_path / "a.edf", edfio.Edf)
    path.write_bytes(path.read_bytes().replace(b"+55\x14\x14", b"+45\x14\x14"))
    assert reason(path) is Reason.DAMAGED


@pytest.mark.parametrize(("kind", "suffix"), [(edfio.Edf, "edf"), (edfio.Bdf, "bdf")])
def test_a_text_mode_copy_is_damage_though_its_size_is_right(tmp_path: Path, kind: type, suffix: str):
    path = write_edf(tmp_path / f"a.{suffix}", kind=kind)
    content = path.read_bytes()
    header = int(content[184:192])
    path.write_bytes((content[:header] + content[header:].replace(b"\n", b"\r\n"))[: len(content)])
    assert reason(path) is Reason.DAMAGED


def test_a_signal_that_rests_at_the_value_of_a_line_end_is_no_damage(tmp_path: Path):
    digital = np.full(40 * RATE, 0x0A0D, np.int16)
    signals = [
        edfio.EdfSignal.from_digital(digital, RATE, label=label, physical_range=(-3276.8, 3276.7)) for label in LABELS
    ]
    edfio.Edf(signals).write(tmp_path / "a.edf")
    assert read(tmp_path / "a.edf").seconds == 40.0


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 1023), junk=st.binary(min_size=1, max_size=40))
def test_a_damaged_header_is_read_or_rejected_but_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, place: int, junk: bytes
):
    path = tmp_path_factory.getbasetemp() / "junk.edf"
    content = bytearray(write_edf(path).read_bytes())
    content[place : place + len(junk)] = junk
    path.write_bytes(content)
    with contextlib.suppress(ReadError):
        assert isinstance(read(path), Recording)


@pytest.mark.parametrize("suffix", ["edf", "bdf", "gdf", "fif", "vhdr"])
@pytest.mark.parametrize("content", [b"", b"no EEG at all\n" * 200, bytes(range(256)) * 20])
def test_garbage_is_unreadable_in_every_format(tmp_path: Path, suffix: str, content: bytes):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    assert reason(path) is (Reason.UNREADABLE if content else Reason.DAMAGED)


def test_nothing_is_logged_or_warned_about_a_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
):
    read(cut(write_edf(tmp_path / "a.edf"), 39.5))
    reason(cut(write_edf(tmp_path / "b.edf"), 1))
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def raw() -> mne.io.Raw:
    info = mne.create_info(list(LABELS), RATE, "eeg")
    return mne.io.RawArray(SIGNAL * 1e-6, info, first_samp=1000, verbose="ERROR")


@pytest.mark.parametrize(
    ("kinds", "bads", "kept"),
    [
        (("eeg",) * 3, (), (0, 1, 2)),
        (("eeg",) * 3, (1,), (0, 2)),
        (("eog", "eeg", "misc"), (), (1,)),
        (("misc",) * 3, (), (0, 1, 2)),
        (("eeg",) * 3, (0, 1, 2), (0, 1, 2)),
    ],
)
def test_channels_that_fif_marks_as_bad_or_no_eeg_are_left_out(
    tmp_path: Path, kinds: tuple[str, ...], bads: tuple[int, ...], kept: tuple[int, ...]
):
    info = mne.create_info(list(LABELS), RATE, list(kinds))
    info["bads"] = [LABELS[index] for index in bads]
    mne.io.RawArray(SIGNAL * 1e-6, info, verbose="ERROR").save(tmp_path / "a_raw.fif", verbose="ERROR")
    recording = read(tmp_path / "a_raw.fif")
    assert recording.channels == tuple(LABELS[index] for index in kept)
    assert recording.notes == (("channels_excluded",) if len(kept) < 3 else ())
    np.testing.assert_allclose(everything(recording), SIGNAL[list(kept)], atol=0.001)


def test_fif_comes_in_microvolts_with_events_from_the_first_sample(tmp_path: Path):
    written = raw()
    written.set_annotations(mne.Annotations([1.5], [0.5], ["rest"]))
    written.save(tmp_path / "a_raw.fif", verbose="ERROR")
    recording = read(tmp_path / "a_raw.fif")
    assert_holds(recording, within_uv=0.001)
    assert [(event.onset, event.code) for event in recording.events] == [(1.5, "rest")]
    assert recording.unit == "V"


def test_trials_and_averages_in_fif_are_rejected_as_such(tmp_path: Path):
    trials = mne.make_fixed_length_epochs(raw(), duration=1.0, verbose="ERROR")
    trials.save(tmp_path / "a-epo.fif", verbose="ERROR")
    trials.average().save(tmp_path / "a-ave.fif", verbose="ERROR")
    assert reason(tmp_path / "a-epo.fif") is Reason.EPOCHED
    assert reason(tmp_path / "a-ave.fif") is Reason.EPOCHED


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
@pytest.mark.parametrize("suffix", ["cnt", "csv", "set"])
def test_a_file_that_may_not_be_read_is_unreadable(tmp_path: Path, suffix: str):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"x")
    path.chmod(0)
    assert reason(path) is Reason.UNREADABLE


@pytest.mark.parametrize("suffix", ["cnt", "csv", "set"])
def test_a_file_that_is_gone_is_unreadable(tmp_path: Path, suffix: str):
    assert reason(tmp_path / f"a.{suffix}") is Reason.UNREADABLE


def test_an_event_file_of_mne_is_no_recording_and_is_read_by_itself(tmp_path: Path):
    path = tmp_path / "a-eve.fif"
    mne.write_events(path, np.array([[1000 + RATE, 0, 3]]), verbose="ERROR")
    assert not is_recording(path)
    (event,) = read_events(path, sfreq=RATE, first_sample=1000)
    assert (event.onset, event.code) == (1.0, "3")


def test_an_event_file_that_is_none_is_unreadable(tmp_path: Path):
    path = tmp_path / "a-eve.fif"
    path.write_bytes(b"nothing")
    with pytest.raises(ReadError) as caught:
        read_events(path, sfreq=RATE)
    assert caught.value.reason is Reason.UNREADABLE


def brainvision(folder: Path) -> Path:
    pybv.write_brainvision(
        data=SIGNAL * 1e-6,
        sfreq=RATE,
        ch_names=list(LABELS),
        fname_base="a",
        folder_out=folder,
        events=np.array([[RATE, 4]]),
        fmt="binary_int16",
    )
    return folder / "a.vhdr"


def test_brainvision_comes_in_microvolts_with_its_markers(tmp_path: Path):
    recording = read(brainvision(tmp_path))
    assert_holds(recording, within_uv=0.1)
    assert recording.unit == "µV"
    assert ("Stimulus/S  4", 1.0) in [(event.code, event.onset) for event in recording.events]


def test_a_brainvision_recording_is_three_files(tmp_path: Path):
    path = brainvision(tmp_path)
    assert [file.name for file in content_files(path)] == ["a.vhdr", "a.eeg", "a.vmrk"]


def test_a_brainvision_header_without_its_samples_is_unreadable(tmp_path: Path):
    path = brainvision(tmp_path)
    (tmp_path / "a.eeg").unlink()
    assert reason(path) is Reason.UNREADABLE


def test_brainvision_samples_that_end_within_one_are_truncated(tmp_path: Path):
    path = brainvision(tmp_path)
    samples = (tmp_path / "a.eeg").read_bytes()
    (tmp_path / "a.eeg").write_bytes(samples[:-1])
    assert reason(path) is Reason.TRUNCATED


def edit(path: Path, **fields: str) -> Path:
    """Set entries of the header's first section."""
    lines = "".join(f"{name}={value}\n" for name, value in fields.items())
    path.write_text(path.read_text("utf-8").replace("[Common Infos]\n", f"[Common Infos]\n{lines}", 1), "utf-8")
    return path


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"SegmentationType": "MARKERBASED"}, Reason.EPOCHED),
        ({"Averaged": "YES"}, Reason.EPOCHED),
        ({"DataType": "FREQUENCYDOMAIN"}, Reason.NOT_EEG),
        ({"UseBigEndianOrder": "YES"}, Reason.UNSUPPORTED),
        ({"DataPoints": str(2 * SIGNAL.shape[1])}, Reason.TRUNCATED),
    ],
)
def test_brainvision_of_another_content_is_rejected(tmp_path: Path, fields: dict[str, str], expected: Reason):
    assert reason(edit(brainvision(tmp_path), **fields)) is expected


def test_brainvision_that_lost_a_little_is_kept_with_a_note(tmp_path: Path):
    assert read(edit(brainvision(tmp_path), DataPoints=str(SIGNAL.shape[1] + 9))).notes == ("truncated_tail",)


@pytest.mark.parametrize(
    ("dates", "seconds"),
    [(("20200101100000000000", "20200101100012500000"), 2.5), (("0" * 20, "0" * 20), None)],
)
def test_a_pause_between_brainvision_segments_comes_from_their_dates(
    tmp_path: Path, dates: tuple[str, str], seconds: float | None
):
    path = brainvision(tmp_path)
    lines = [f"Mk{8 + i}=New Segment,,{1 + 10 * RATE * i},1,0,{date}" for i, date in enumerate(dates)]
    with (tmp_path / "a.vmrk").open("a") as file:
        file.write("\n".join(["", *lines, ""]))
    assert read(path).gap_seconds == seconds


def fif(folder: Path) -> Path:
    raw().save(folder / "a_raw.fif", verbose="ERROR")
    return folder / "a_raw.fif"


WRITERS: dict[str, Callable[[Path], Path]] = {
    "edf": lambda folder: write_edf(folder / "a.edf"),
    "bdf": lambda folder: write_edf(folder / "a.bdf", kind=edfio.Bdf),
    "fif": fif,
    "vhdr": brainvision,
}


def muse(path: Path, *, hole: float = 0.0, marker: str = "Marker0", missing: int = -1) -> Path:
    stamps = ("" if i == missing else f"{1e9 + i / RATE + hole * (i > 300):.3f}" for i in range(600))
    rows = (f"{stamp},{i}.5,-{i}.25,{21 * (i == 128)}" for i, stamp in enumerate(stamps))
    path.write_text("\n".join([f"timestamps,TP9,AF7,{marker}", *rows, ""]), encoding="utf-8")
    return path


@pytest.mark.parametrize("marker", ["Marker0", "Marker"])
def test_muse_csv_gives_channels_and_markers(tmp_path: Path, marker: str):
    recording = read(muse(tmp_path / "a.csv", marker=marker))
    assert (recording.channels, recording.sfreq, recording.gap_seconds) == (("TP9", "AF7"), 256.0, 0.0)
    np.testing.assert_allclose(everything(recording)[:, 2], [2.5, -2.25])
    assert [(event.onset, event.code) for event in recording.events] == [(0.5, "21")]


@pytest.mark.parametrize("missing", [-1, 300, 301])
def test_the_longest_gap_in_time_stamps_is_reported(tmp_path: Path, missing: int):
    path = muse(tmp_path / "a.csv", hole=7.25, missing=missing)
    assert read(path).gap_seconds == pytest.approx(7.25, abs=0.006)


@pytest.mark.parametrize(("mark", "quote"), [("\ufeff", ""), ("", '"'), ("\ufeff", '"')])
def test_muse_csv_that_a_spreadsheet_saved_is_the_same(tmp_path: Path, mark: str, quote: str):
    path = muse(tmp_path / "a.csv")
    head, _, rows = path.read_text().partition("\n")
    expected = everything(read(path))
    path.write_text(f"{mark}{','.join(f'{quote}{name}{quote}' for name in head.split(','))}\n{rows}", "utf-8")
    np.testing.assert_array_equal(everything(read(path)), expected)


def test_other_csv_files_are_no_recordings(tmp_path: Path):
    (tmp_path / "a.csv").write_text("subject,age\n1,20\n")
    assert not is_recording(tmp_path / "a.csv")
    assert reason(tmp_path / "a.csv") is Reason.UNSUPPORTED


def test_cells_that_are_no_numbers_are_unreadable_and_not_quoted(tmp_path: Path):
    path = muse(tmp_path / "a.csv")
    path.write_text(path.read_text() + f"{SECRET},1,2,3\n")
    assert reason(path) is Reason.UNREADABLE


def smni(path: Path, *, missing: int = 0) -> Path:
    lines = ["# co2a0000364.rd", "# 120 trials, 64 chans, 416 samples 368 post_stim samples", "# 3.906000 msecs uV"]
    lines.append("# S2 nomatch err, trial 10")
    for index, channel in enumerate(("FP1", "nd")):
        lines.append(f"# {channel} chan {index}")
        lines += [f"10 {channel} {i} {i - 100.125:.3f}" for i in range(256 - missing * index)]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    return path


def test_a_text_trial_gives_channels_and_its_condition(tmp_path: Path):
    recording = read(smni(tmp_path / "a.rd.010.gz"))
    assert (recording.channels, recording.sfreq, recording.seconds) == (("FP1", "nd"), 256.0, 1.0)
    np.testing.assert_allclose(everything(recording)[0, :2], [-100.125, -99.125])
    assert [(event.onset, event.code) for event in recording.events] == [(0.0, "S2 nomatch err")]


def cut_archive(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def spoil_archive(path: Path) -> None:
    path.write_bytes(b"no gzip")


@pytest.mark.parametrize(("spoil", "expected"), [(cut_archive, Reason.TRUNCATED), (spoil_archive, Reason.UNREADABLE)])
def test_a_damaged_archive_is_reported_apart(tmp_path: Path, spoil: Callable[[Path], None], expected: Reason):
    path = smni(tmp_path / "a.rd.010.gz")
    spoil(path)
    assert reason(path) is expected


def test_a_text_trial_with_a_short_channel_is_damaged(tmp_path: Path):
    assert reason(smni(tmp_path / "a.rd.010.gz", missing=3)) is Reason.DAMAGED


@pytest.mark.parametrize("name", ["a.nwb", "a.txt", "a.gz", "a"])
def test_other_files_are_of_no_format(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"\0" * 300)
    assert format_of(tmp_path / name) is None
    assert reason(tmp_path / name) is Reason.UNSUPPORTED
