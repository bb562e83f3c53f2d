"""Siena, CHB-MIT and Sleep-EDF cannot be here: these trees imitate their layout, names, channels and annotation files.

The headers of Siena's PN00-1 and of CHB-MIT's chb01_01 are the real ones, channel by channel.
"""

from collections.abc import Callable
from pathlib import Path

import edfio
import numpy as np
import pytest

from labram.corpus.catalogue import Corpus

TakeIn = Callable[..., tuple[object, Corpus]]
WarningsOf = Callable[[Corpus], list[list[str]]]
WriteEdf = Callable[..., Path]
LabelsOf = Callable[[Corpus, str], list[tuple[float, float, tuple[float, ...]]]]

SIENA = (
    "EEG Fp1,EEG F3,EEG C3,EEG P3,EEG O1,EEG F7,EEG T3,EEG T5,EEG Fc1,EEG Fc5,EEG Cp1,EEG Cp5,EEG F9,EEG Fz,EEG Cz,"
    "EEG Pz,EEG Fp2,EEG F4,EEG C4,EEG P4,EEG O2,EEG F8,EEG T4,EEG T6,EEG Fc2,EEG Fc6,EEG Cp2,EEG Cp6,EEG F10,EKG EKG,"
    "SPO2,HR,1,2,MK"
)
CHB = (
    "FP1-F7,F7-T7,T7-P7,P7-O1,FP1-F3,F3-C3,C3-P3,P3-O1,FP2-F4,F4-C4,C4-P4,P4-O2,FP2-F8,F8-T8,T8-P8,P8-O2,FZ-CZ,CZ-PZ,"
    "P7-T7,T7-FT9,FT9-FT10,FT10-T8,T8-P8"
)
LIST = """PATIENT ID: PN00
Sampling rate of the EEG signals: 512 Hz

Seizure n 1
File name: PN00-1.edf
Registration start time: 23.59.50
Registration end time:  00.00.10
Seizure start time: 23.59.55
Seizure end time: 00.00.02

Seizure n 2
File name: PN00-2.edf
Registration start time: 10.00.00
Registration end time:  10.00.20
Seizure start time: 10.00.05
Seizure end time: 11.00.07
"""
SUMMARY = """Data Sampling Rate: 256 Hz
*************************

Channels in EDF Files:
**********************
Channel 1: FP1-F7
Channel 2: F7-T7

File Name: chb01_01.edf
File Start Time: 11:42:54
File End Time: 11:43:14
Number of Seizures in File: 0

File Name: chb01_03.edf
File Start Time: 13:43:04
File End Time: 13:43:24
Number of Seizures in File: 2
Seizure 1 Start Time: 4 seconds
Seizure 1 End Time: 8 seconds
Seizure 2 Start Time: 12 seconds
Seizure 2 End Time: 20 seconds
"""


def test_siena_seizures_by_the_clock_past_midnight_and_lists_with_mistakes(
    tmp_path: Path, write_edf: WriteEdf, take_in: TakeIn, warnings_of: WarningsOf, labels_of: LabelsOf
) -> None:
    folder = tmp_path / "siena" / "PN00"
    for number in (1, 2, 3):
        write_edf(folder / f"PN00-{number}.edf", seed=number, seconds=20, rate=256, channels=SIENA.split(","))
    (folder / "Seizures-list-PN00.txt").write_text(LIST)
    _, corpus = take_in(tmp_path)
    assert set(corpus.accepted()["dataset"]) == {"siena"}
    assert set(corpus.accepted()["mains_hz"]) == {50.0}
    assert {len(montage) for montage in corpus.accepted()["montage"]} == {29}
    assert corpus.accepted()["subject_key"].nunique() == 1
    # The first file's seizure passes midnight; the second's ends after the recording; the third is not in the list.
    assert labels_of(corpus, "seizure") == [(0, 5, (0.0,)), (5, 7, (1.0,)), (12, 8, (0.0,))]
    assert warnings_of(corpus) == [[], ["missing_label"], ["missing_label"]]


def test_chb_mit_summaries_and_the_girl_who_came_twice(
    tmp_path: Path, write_edf: WriteEdf, take_in: TakeIn, warnings_of: WarningsOf, labels_of: LabelsOf
) -> None:
    for seed, place in enumerate(("chb01/chb01_01", "chb01/chb01_03", "chb17/chb17a_03", "chb21/chb21_01")):
        write_edf(tmp_path / f"{place}.edf", seed=seed, seconds=20, rate=256, channels=CHB.split(","))
    (tmp_path / "chb01" / "chb01-summary.txt").write_text(SUMMARY)
    (tmp_path / "chb17" / "chb17-summary.txt").write_text(SUMMARY.replace("chb01", "chb17"))
    (tmp_path / "chb21" / "chb21-summary.txt").write_text(SUMMARY.replace("chb01", "chb21"))
    _, corpus = take_in(tmp_path)
    assert set(corpus.accepted()["dataset"]) == {"chb_mit"}
    assert corpus.accepted()["subject_key"].nunique() == 2
    assert {tuple(montage) for montage in corpus.accepted()["montage"]} == {
        ("FP1-F7", "F7-T7", "T7-P7", "P7-O1", "FP2-F8", "F8-T8", "T8-P8", "P8-O2")
    }
    seizures = [(0, 4, (0.0,)), (4, 4, (1.0,)), (8, 4, (0.0,)), (12, 8, (1.0,))]
    assert sorted(labels_of(corpus, "seizure")) == sorted([(0, 20, (0.0,)), (0, 20, (0.0,)), *seizures])
    assert warnings_of(corpus) == [[], [], [], ["missing_label"]]


@pytest.mark.parametrize("end", ["2 seconds", "30 seconds", "soon"])
def test_chb_mit_a_summary_that_contradicts_the_recording_is_no_label(
    tmp_path: Path, write_edf: WriteEdf, take_in: TakeIn, warnings_of: WarningsOf, end: str
) -> None:
    write_edf(tmp_path / "chb01/chb01_03.edf", seconds=20, rate=256, channels=CHB.split(","))
    (tmp_path / "chb01/chb01-summary.txt").write_text(SUMMARY.replace("8 seconds", end))
    _, corpus = take_in(tmp_path)
    assert warnings_of(corpus) == [["missing_label"]]


def test_sleep_edf_hypnograms_are_labels_and_no_recordings(
    tmp_path: Path, write_edf: WriteEdf, take_in: TakeIn, warnings_of: WarningsOf, labels_of: LabelsOf
) -> None:
    folder = tmp_path / "sleep-cassette"
    channels = ["EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal", "Resp oro-nasal", "EMG submental", "Temp rectal"]
    for night in (1, 2):
        write_edf(folder / f"SC400{night}E0-PSG.edf", seed=night, seconds=95, rate=100, channels=channels)
    stages = [(0, 30, "Sleep stage W"), (30, 30, "Sleep stage 4"), (60, 10, "Movement time"), (70, 60, "Sleep stage R")]
    edf = edfio.Edf([], annotations=[edfio.EdfAnnotation(*stage) for stage in stages])
    edf.write(folder / "SC4001EC-Hypnogram.edf")
    _, corpus = take_in(tmp_path)
    assert len(corpus.catalogue) == 2
    assert corpus.accepted()["subject_key"].nunique() == 1
    assert [tuple(montage) for montage in corpus.accepted()["montage"]] == [("FPZ", "PZ")] * 2
    assert labels_of(corpus, "sleep_stage") == [(0, 30, (0.0,)), (30, 30, (3.0,)), (70, 25, (4.0,))]
    assert warnings_of(corpus) == [[], ["missing_label"]]


def test_eegmmidb_what_an_annotation_means_depends_on_the_run(
    tmp_path: Path, take_in: TakeIn, warnings_of: WarningsOf, labels_of: LabelsOf
) -> None:
    def write(place: str, annotations: list[tuple[float, float, str]], seed: int) -> None:
        noise = np.cumsum(np.random.default_rng(seed).standard_normal((2, 20 * 160)), axis=1)
        signals = [
            edfio.EdfSignal(20 * row / row.std(), 160, label=name, physical_dimension="uV")
            for name, row in zip(("Fc5.", "Fc3."), noise - noise.mean(axis=1, keepdims=True), strict=True)
        ]
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        edfio.Edf(signals, annotations=[edfio.EdfAnnotation(*found) for found in annotations]).write(tmp_path / place)

    write("S001/S001R01.edf", [(0, 20, "T0")], 1)
    write("S001/S001R02.edf", [(0, 20, "T0")], 2)
    write("S001/S001R03.edf", [(0, 4.2, "T0"), (4.2, 4.1, "T2"), (8.3, 4.2, "T0"), (12.5, 4.1, "T1")], 3)
    write("S001/S001R06.edf", [(0, 4.2, "T0"), (4.2, 4.1, "T2"), (8.3, 4.2, "T0"), (12.5, 4.1, "T1")], 4)
    write("S088/S088R08.edf", [(0, 4.2, "T1"), (2.0, 4.1, "T2")], 5)
    _, corpus = take_in(tmp_path)
    assert sorted(labels_of(corpus, "eyes")) == [(0, 20, (0.0,)), (0, 20, (1.0,))]
    assert labels_of(corpus, "motor_execution") == [(4.2, 4.1, (1.0,)), (12.5, 4.1, (0.0,))]
    assert labels_of(corpus, "motor_imagery") == [(2.0, 4.1, (1.0,)), (4.2, 4.1, (3.0,)), (12.5, 4.1, (2.0,))]
    assert warnings_of(corpus) == [[], [], [], [], ["excluded_overlapping_annotations=1"]]
