"""Electrode names as files spell them, and the rows of the model's table."""

import pytest

from labram.errors import LabramError
from labram.signals.electrodes import CANONICAL, canonical_name, canonical_names, rows

TUAB = "FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 A1 A2 FZ CZ PZ T1 T2"


def test_the_table_has_128_names_and_none_twice():
    assert len(CANONICAL) == len(set(CANONICAL)) == 128


def test_rows_of_the_tuh_montage_are_those_of_the_released_model():
    published = [1, 3, 18, 22, 40, 44, 62, 66, 81, 83, 16, 24, 89, 91, 90, 92, 95, 96, 20, 42, 64, 113, 114]
    assert rows(TUAB.split()) == tuple(published)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("EEG FP1-REF", "FP1"),
        ("EEG FP1-LE", "FP1"),
        ("EEG Fp1", "FP1"),
        ("Fp1.", "FP1"),
        ("Cz..", "CZ"),
        ("fz", "FZ"),
        ("FTT9h", "FTT9h"),
        ("FTT9H", "FTT9h"),
        ("T3", "T3"),
        ("T7", "T7"),
        ("F4-A1", "F4"),
        ("FP1-F7", "FP1-F7"),
        ("EEG A1-REF", "A1"),
        ("EEG.AF3", "AF3"),
        ("EEG-Fp2", "FP2"),
        ("C3-A1A2", "C3"),
        ("EEG Cz-M1+M2", "CZ"),
    ],
)
def test_spellings_of_common_recorders_are_understood(label: str, name: str):
    assert canonical_name(label) == name


@pytest.mark.parametrize(
    "label",
    [
        "",
        " ",
        "ECG ECG",
        "EEG EKG1-REF",
        "EOG",
        "X",
        "nd",
        "Status",
        "FP1-F3",
        "EEG A2-A1",
        "Right AUX",
        "E12",
        "EEG",
        "EEG 1",
        "A1-A1A2",
        "Cz x",
    ],
)
def test_what_is_no_electrode_of_the_table_gives_none(label: str):
    assert canonical_name(label) is None


def test_every_canonical_name_is_its_own_spelling():
    assert canonical_names(CANONICAL) == CANONICAL


def test_a_repeated_label_counts_once():
    assert canonical_names(["T8-P8", "FZ", "T8-P8"]) == ("T8-P8", "FZ", None)


def test_contacts_counted_through_a_grid_are_not_ears():
    assert canonical_names(["A1", "A2", "A3", "C3", "Fz"]) == (None, None, None, None, "FZ")
    assert canonical_names(["EEG A1-Ref", "EEG A7-Ref", "EEG C3-Ref"]) == (None, None, None)
    assert canonical_names(["A1", "A2", "C3", "Fz"]) == ("A1", "A2", "C3", "FZ")


def test_an_unknown_name_in_a_montage_is_rejected_with_the_closest():
    with pytest.raises(LabramError, match="FZ"):
        rows(["Fz"])
    with pytest.raises(LabramError, match="capitals"):
        rows(["#####"])
