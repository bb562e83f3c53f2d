"""Tables in text: ARFF of a headset, logs of an app, and numbers of which something is unknown."""

from collections.abc import Callable
from pathlib import Path

import pytest

from labram.errors import Reason
from labram.signals.readers import format_of, is_recording, read

Refused = Callable[[Path], Reason]
EPOC = ("AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4")


def arff(path: Path, labels: tuple[str, ...] = EPOC) -> Path:
    columns = [f"@ATTRIBUTE {label} NUMERIC" for label in labels]
    rows = [",".join([*(f"{4000 + i + n}" for n in range(len(labels))), str(int(i >= 128))]) for i in range(256)]
    path.write_text(
        "\n".join(["@RELATION EEG", *columns, "@ATTRIBUTE eyes {0,1}", "@DATA", *rows, ""]), encoding="utf-8"
    )
    return path


def test_arff_of_an_emotiv_epoc_has_its_rate_and_spans_of_its_label(tmp_path: Path):
    recording = read(arff(tmp_path / "a.arff"))
    assert (recording.channels, recording.sfreq, recording.seconds) == (EPOC, 128.0, 2.0)
    assert recording.read([1], 3, 5).tolist() == [[4004.0, 4005.0]]
    assert [(event.onset, event.duration, event.code) for event in recording.events] == [(0, 1, "0"), (1, 1, "1")]
    assert (recording.notes, recording.gap_seconds) == (("rate_and_unit_of_emotiv_epoc",), None)


def test_arff_of_another_device_lacks_a_rate_and_other_arff_is_no_recording(tmp_path: Path, refused: Refused):
    assert refused(arff(tmp_path / "a.arff", EPOC[:8])) is Reason.UNSUPPORTED
    assert not is_recording(arff(tmp_path / "b.arff", ("petal", "sepal")))


def muse_monitor(path: Path, step_ms: int, *, pause_ms: int = 0, missing: tuple[int, ...] = ()) -> Path:
    rows = []
    for i in range(300):
        ms = i * step_ms + pause_ms * (i >= 150)
        stamp = "" if i in missing else f"2017-11-02 12:{ms // 60000:02d}:{ms / 1000 % 60:06.3f}"
        rows.append(f"{stamp},0.5,{800 + i},{810 + i}")
    rows.insert(2, "2017-11-02 12:00:00.001,,,")
    path.write_text("\n".join(["TimeStamp,Delta_TP9,RAW_TP9,RAW_AF7", *rows, ""]), encoding="utf-8")
    return path


def test_a_line_a_second_of_band_powers_is_not_eeg(tmp_path: Path, refused: Refused):
    assert refused(muse_monitor(tmp_path / "a.csv", 1000)) is Reason.NOT_EEG


def test_a_line_a_sample_is(tmp_path: Path):
    recording = read(muse_monitor(tmp_path / "a.csv", 4))
    assert recording.channels == ("TP9", "AF7")
    assert recording.sfreq == pytest.approx(250.0)
    assert recording.read([0], 0, 3).tolist() == [[800.0, 801.0, 802.0]]
    assert recording.gap_seconds == 0.0


@pytest.mark.parametrize("missing", [(), (150,), (149, 150, 151), (7, 200)])
def test_a_pause_in_the_log_is_a_gap_and_no_lower_rate(tmp_path: Path, missing: tuple[int, ...]):
    recording = read(muse_monitor(tmp_path / "a.csv", 4, pause_ms=600_000, missing=missing))
    assert recording.sfreq == pytest.approx(250.0)
    assert recording.gap_seconds == pytest.approx(600.0)


NUMBERS = [f"{i / 7:.5e}" for i in range(300)]


@pytest.mark.parametrize(
    "lines",
    [
        NUMBERS,
        ["# Sampling Rate (Hz):= 125.00", "# Labels:= EEG", *NUMBERS],
        ["Fp1,Cz,label", *(f"{number},1,0" for number in NUMBERS)],
    ],
)
def test_numbers_of_which_something_is_unknown_are_rejected_by_name(tmp_path: Path, refused: Refused, lines: list[str]):
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


@pytest.mark.parametrize(("name", "write"), [("a.arff", arff), ("a.csv", lambda path: muse_monitor(path, 4))])
def test_flipped_bytes_are_read_or_rejected_but_never_a_crash(
    tmp_path: Path, name: str, write: Callable[[Path], Path], survive_flips: Callable[[Path, int], None]
):
    survive_flips(write(tmp_path / name), 25)
