"""Electrode names as files spell them, and the rows of the model's table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labram.errors import LabramError
from labram.signals.electrodes import CANONICAL, canonical_name, canonical_names, repeated_electrodes, rows

TUAB = "FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 A1 A2 FZ CZ PZ T1 T2"

SCALP = [name for name in CANONICAL if "-" not in name and name not in {"A1", "A2", "M1", "M2"}]
BIPOLAR = [name for name in CANONICAL if "-" in name]
PREFIXES = ["", "EEG ", "EEG-", "EEG_", "EEG.", "EEG:", "EEG  ", "eeg ", "POL ", "pol "]
SEPARATORS = ["-", "/", ":", "_", " - ", " -", "- ", " ", "\u2013", "\u2212"]
REFERENCE_TABLE = """
REF Ref ref Ref1 A1 A2 a1 M1 M2 LE CLE A1A2 A1+A2 A1/A2 M1+M2 (A1+A2)/2 Linked Linked_Ears Ears ear AVG Avg AV AR AA CAR
Average Org G1 G2 G19 Vertex VREF Nose COM CMS REF-0
"""
REFERENCES = REFERENCE_TABLE.split()


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


@given(
    name=st.sampled_from(SCALP),
    prefix=st.sampled_from(PREFIXES),
    separator=st.sampled_from(SEPARATORS),
    reference=st.sampled_from(REFERENCES),
    lower=st.booleans(),
)
def test_prefix_separator_reference_and_case_do_not_change_the_electrode(
    name: str, prefix: str, separator: str, reference: str, lower: bool
) -> None:
    label = f"{prefix}{name.lower() if lower else name}"
    spellings = [
        label,
        f" {label} ",
        f"{label}{separator}{reference}",
        f"{label}({reference})",
        f"{label} [{reference}]",
    ]
    assert {canonical_name(spelling) for spelling in spellings} == {name}


@given(pair=st.permutations(SCALP).map(lambda names: names[:2]), separator=st.sampled_from(SEPARATORS))
def test_a_derivation_between_scalp_electrodes_is_never_one_of_them(pair: list[str], separator: str) -> None:
    joined = "-".join(pair)
    assert canonical_name(separator.join(pair)) == (joined if joined in BIPOLAR else None)


@given(st.lists(st.tuples(st.sampled_from(SCALP), st.sampled_from(PREFIXES), st.sampled_from(REFERENCES))))
def test_the_spellings_of_an_electrode_are_counted_and_one_is_used(spelled: list[tuple[str, str, str]]) -> None:
    labels = [f"{prefix}{name}-{reference}" for name, prefix, reference in spelled]
    used = [name for name in canonical_names(labels) if name]
    assert sorted(used) == sorted({name for name, *_ in spelled})
    assert repeated_electrodes(labels) == len(labels) - len(used)


@pytest.mark.parametrize(
    "label", ["'Fp1'", '"Fp1"', "Fp1 EEG", "EEG Fp 1-Ref", "EEGFp1", "Fp1 (uV)", "Fp1 [µV]", "Fp1-0"]
)
def test_quotes_blanks_units_and_numbers_of_copies_are_no_part_of_a_name(label: str) -> None:
    assert canonical_name(label) == "FP1"


@pytest.mark.parametrize("label", ["C3'", "C3-4", "A1-Ears", "M1/M2", "POL $A1", "EOG EEG", "-", "("])
def test_displaced_positions_pairs_of_contacts_and_ears_are_no_electrodes(label: str) -> None:
    assert canonical_name(label) is None


@pytest.mark.parametrize("reference", ["CPz", "FCz", "Cz", "Pz", "TP9"])
def test_a_scalp_electrode_against_which_all_are_recorded_is_the_reference(reference: str) -> None:
    names = ("FP1", "FP2", "C3", "C4", "O1")
    labels = [f"EEG {name}-{reference}" for name in names]
    assert canonical_names([*labels, "ECG", "M1"]) == (*names, None, "M1")
    assert canonical_names(labels[:3]) == (None, None, None)
    assert canonical_names([*labels, "F3-F7"]) == (None,) * 6


def test_the_bipolar_chain_of_the_table_stays_one() -> None:
    assert canonical_names([name.replace("-", " - ").lower() for name in BIPOLAR]) == tuple(BIPOLAR)


def test_contacts_of_depth_electrodes_are_no_positions() -> None:
    assert canonical_names([f"POL C{number}" for number in range(1, 13)]) == (None,) * 12
