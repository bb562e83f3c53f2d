"""Real recordings, read as their catalogue says."""

import csv
from pathlib import Path

import numpy as np
import pytest

from labram.errors import ReadError, Reason
from labram.signals.electrodes import canonical_names
from labram.signals.preprocessing import preprocess
from labram.signals.readers import is_recording, read, read_events

pytestmark = pytest.mark.real
DATASETS = ("eegmat", "eegmmidb", "ssvep_exo", "uci_smni", "muse")


def catalogue(real_eeg: Path, dataset: str) -> list[dict[str, str]]:
    with (real_eeg / "catalogue.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == dataset and row["rate_hz"]]
    return rows[:: max(1, len(rows) // 12)]


@pytest.mark.parametrize("dataset", DATASETS)
def test_recordings_have_the_rate_length_and_channels_of_the_catalogue(real_eeg: Path, dataset: str):
    rows = catalogue(real_eeg, dataset)
    assert rows
    for row in rows:
        recording = read(real_eeg / row["path"])
        assert recording.sfreq == float(row["rate_hz"])
        assert recording.seconds == pytest.approx(float(row["seconds"]), abs=0.01)
        assert len(recording.channels) == int(row["n_channels"])


@pytest.mark.parametrize(
    ("dataset", "channels"), [("eegmat", 19), ("eegmmidb", 64), ("ssvep_exo", 8), ("uci_smni", 61), ("muse", 4)]
)
def test_electrodes_are_found_and_the_rest_is_not(real_eeg: Path, dataset: str, channels: int):
    for row in catalogue(real_eeg, dataset):
        names = canonical_names(read(real_eeg / row["path"]).channels)
        assert sum(name is not None for name in names) == channels


@pytest.mark.parametrize("dataset", ["eegmat", "eegmmidb", "uci_smni"])
def test_filtered_amplitudes_are_those_of_eeg(real_eeg: Path, dataset: str):
    for row in catalogue(real_eeg, dataset)[::4]:
        recording = read(real_eeg / row["path"])
        picks = [index for index, name in enumerate(canonical_names(recording.channels)) if name]
        filtered = np.concatenate(list(preprocess(recording, picks, line_freq_hz=50.0)), axis=1)
        assert 2.0 < np.median(filtered.std(axis=1)) < 80.0


def test_the_stimulation_codes_of_gdf_agree_with_the_event_file(real_eeg: Path):
    folder = real_eeg / "ssvep_exo" / "subject03"
    gdf = read(folder / "record-[2012.07.11-15.25.23].gdf")
    starts = [event.onset for event in gdf.events if event.code == "32779"]
    trials = read_events(folder / "record-[2012.07.11-15.25.23]-eve.fif", sfreq=gdf.sfreq)
    np.testing.assert_allclose(starts, [event.onset for event in trials], atol=1.5 / gdf.sfreq)


def test_gaps_in_bluetooth_recordings_are_reported(real_eeg: Path):
    def gap(subject: str) -> float:
        (path,) = (real_eeg / "muse" / "cueing" / subject).rglob("*recording*.csv")
        return read(path).gap_seconds

    assert gap("subject205") < 0.1
    assert gap("subject1308") > 60.0


def test_a_copy_with_damaged_line_ends_is_rejected_and_the_fixed_one_read(real_eeg: Path):
    with pytest.raises(ReadError) as caught:
        read(real_eeg / "misc_formats" / "damaged" / "S001R01_crlf_damaged.edf")
    assert caught.value.reason is Reason.DAMAGED
    mended = read(real_eeg / "eegmmidb" / "S001" / "S001R01.edf")
    assert mended.notes == ("truncated_tail",)
    assert mended.seconds == 60.0


def test_every_odd_file_is_read_or_rejected_with_a_reason(real_eeg: Path):
    read_well = 0
    for path in sorted((real_eeg / "misc_formats").rglob("*")):
        if path.is_file() and is_recording(path):
            try:
                recording = read(path)
            except ReadError:
                continue
            read_well += recording.samples > 0
    assert read_well >= 17
