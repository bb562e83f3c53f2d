"""What BIDS sidecars state is used, or noted."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from labram.corpus.catalogue import Corpus
from labram.corpus.ingest import IngestResult
from labram.datasets.bids import Bids
from labram.datasets.bids_sidecars import Facts, read_facts
from labram.errors import Reason

WriteEdf = Callable[..., Path]
TakeIn = Callable[..., tuple[IngestResult, Corpus]]
NAME = "sub-01_task-rest"
CONTRADICTED = ("sidecar_repaired", "line_freq_not_understood")


def facts(folder: Path, *, table: str = "", table_name: str = f"{NAME}_channels.tsv", **fields: object) -> Facts:
    (folder / f"{NAME}_eeg.json").write_text(json.dumps({"PowerLineFrequency": 50, **fields}))
    if table:
        (folder / table_name).write_text(table)
    return read_facts(folder / f"{NAME}_eeg.edf", folder)


def test_the_nearest_sidecar_counts_whatever_the_capitals_of_its_keys_and_name(tmp_path: Path) -> None:
    (tmp_path / "eeg.json").write_text('{"PowerLineFrequency": 50}')
    folder = tmp_path / "sub-01"
    folder.mkdir()
    (folder / f"{NAME}_EEG.JSON").write_text('{"powerlinefrequency": 60}')
    found = read_facts(folder / f"{NAME}_eeg.edf", tmp_path)
    assert (found.line_freq_hz, found.notes) == (60, ("sidecar_repaired",))


@pytest.mark.parametrize(
    ("table", "excluded", "noted"),
    [
        ("name\ttype\tunits\tstatus\nFp1\tEEG\tuV\tbad\nFp2\tEEG\t\u00b5V\tgood\n", {"Fp1"}, False),
        ("name\ttype\tunits\tstatus\nFp1\tEEG\tbad\n", {"Fp1"}, True),
        ("name\ttype\tunits\tstatus\nFp1\tEEG\n", set(), True),
        ("name\ttype\nFp1\tEEG\tbad\n", {"Fp1"}, True),
        ("name\ttype\nFp1\tEEG\t\n\n", set(), False),
        ("name\ttype\tunits\nFp1\tEEG\tmV\n", set(), True),
        ("name\ttype\tunits\nTrig\tTRIG\tmV\n", {"Trig"}, False),
    ],
)
def test_units_and_rows_that_lack_cells_are_noted(tmp_path: Path, table: str, excluded: set[str], noted: bool) -> None:
    found = facts(tmp_path, table=table)
    assert found.excluded_channels == excluded
    assert found.notes == ("channels_not_understood",) * noted


def test_a_table_in_capitals_is_found(tmp_path: Path) -> None:
    found = facts(tmp_path, table="name\tstatus\nFp1\tbad\n", table_name=f"{NAME}_CHANNELS.TSV")
    assert found.excluded_channels == {"Fp1"}


@pytest.mark.parametrize(
    ("stated", "quarantined", "notes"),
    [
        ("continuous", None, ()),
        ("Epoched", Reason.EPOCHED, ()),
        ("discontinuous", None, ("gaps_unknown",)),
        ("n/a", None, ()),
    ],
)
def test_the_recording_type_is_used(
    tmp_path: Path, stated: str, quarantined: Reason | None, notes: tuple[str, ...]
) -> None:
    folder = tmp_path / "sub-01" / "eeg"
    folder.mkdir(parents=True)
    facts(folder, RecordingType=stated)
    (folder / f"{NAME}_eeg.edf").write_bytes(b"x")
    (file,) = Bids().recordings(tmp_path)
    assert (file.quarantined[0] if file.quarantined else None, file.notes) == (quarantined, notes)


@pytest.mark.parametrize(
    ("sidecar", "line_freq", "notes"),
    [
        ('{"PowerLineFrequency": 60, "PowerLineFrequency": 60}', 60, ("sidecar_repaired",)),
        (
            '{"PowerLineFrequency": 50, "PowerLineFrequency": 60}',
            None,
            CONTRADICTED,
        ),
        (
            '{"PowerLineFrequency": 60, "powerlinefrequency": 50}',
            None,
            CONTRADICTED,
        ),
        ('{"PowerLineFrequency": 60, "Notes": {"a": 1, "a": 2}}', 60, ("sidecar_repaired",)),
    ],
)
def test_a_field_that_is_stated_twice_counts_only_if_both_are_equal(
    tmp_path: Path, sidecar: str, line_freq: float | None, notes: tuple[str, ...]
) -> None:
    (tmp_path / f"{NAME}_eeg.json").write_text(sidecar)
    found = read_facts(tmp_path / f"{NAME}_eeg.edf", tmp_path)
    assert (found.line_freq_hz, found.notes) == (line_freq, notes)


@pytest.mark.parametrize(
    ("cells", "fields", "rate_hz", "noted"),
    [
        (("200", "200.0"), {}, 200, False),
        (("200", "500"), {}, None, True),
        (("fast", "200"), {}, None, True),
        (("200", "200"), {"SamplingFrequency": 512}, 512, True),
        (("512", "n/a"), {"SamplingFrequency": 512}, 512, False),
        (("n/a", "n/a"), {"SamplingFrequency": -1}, None, True),
    ],
)
def test_the_rate_of_channels_counts_too(
    tmp_path: Path, cells: tuple[str, str], fields: dict[str, float], rate_hz: float | None, noted: bool
) -> None:
    rows = "".join(f"{name}\tEEG\t{cell}\n" for name, cell in zip(("Fp1", "Fp2"), cells, strict=True))
    found = facts(tmp_path, table=f"name\ttype\tsampling_frequency\n{rows}Trig\tTRIG\t5000\n", **fields)
    assert (found.rate_hz, found.notes) == (rate_hz, ("rate_contradicts_sidecar",) * noted)


@pytest.mark.parametrize(
    ("stated", "warned"), [(10, False), (10.9, False), (600, True), ("long", True), ("n/a", False), (-1, True)]
)
def test_another_duration_than_that_of_the_file_is_a_warning(
    tmp_path: Path, write_edf: WriteEdf, take_in: TakeIn, stated: object, warned: bool
) -> None:
    folder = tmp_path / "sub-01" / "eeg"
    write_edf(folder / f"{NAME}_eeg.edf", seconds=10)
    (tmp_path / "dataset_description.json").write_text("{}")
    facts(folder, RecordingDuration=stated)
    (row,) = take_in(tmp_path)[1].accepted().to_dict("records")
    assert ("duration_contradicts_sidecar" in row["warnings"]) == warned


def test_a_status_that_only_a_description_tells_and_a_length_of_epochs_are_noted(tmp_path: Path) -> None:
    found = facts(tmp_path, table="name\ttype\tstatus_description\nFp1\tEEG\tno contact\n", EpochLength=2)
    assert found.notes == ("gaps_unknown", "channels_not_understood")


def test_sidecars_are_used_without_a_description_of_the_dataset(
    tmp_path: Path, write_edf: WriteEdf, take_in: TakeIn
) -> None:
    """They state what they state; subjects stay guessed, since nothing says where the dataset begins."""
    write_edf(tmp_path / "sub-01" / "eeg" / f"{NAME}_eeg.edf")
    write_edf(tmp_path / "else" / "sub-02_task-rest_eeg.edf", seed=1)
    (tmp_path / "sub-01" / "task-rest_eeg.json").write_text('{"PowerLineFrequency": 60, "EEGReference": "Cz"}')
    (tmp_path / "sub-01" / "eeg" / f"{NAME}_channels.tsv").write_text("name\tstatus\nC3\tbad\n")
    rows = take_in(tmp_path)[1].accepted()
    assert set(zip(rows["mains_hz"], rows["reference"], rows["montage"].map(len), strict=True)) == {
        (60.0, "Cz", 5),
        (50.0, "not stated", 6),
    }
    assert set(rows["subject_source"]) == {"guessed"}


@pytest.mark.parametrize(
    ("place", "subject", "source"),
    [
        ("sub-01/eeg/sub-01_task-rest_eeg.edf", "sub-01", "bids"),
        ("sub-01/eeg/sub-02_task-rest_eeg.edf", "sub-02", "guessed"),
        ("sub-01/eeg/rest.edf", "sub-01", "bids"),
        ("sub-a\u0308/eeg/sub-\u00e4_task-rest_eeg.edf", "sub-\u00e4", "bids"),
    ],
)
def test_a_subject_is_stated_if_folder_and_name_agree(tmp_path: Path, place: str, subject: str, source: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    (file,) = Bids().recordings(tmp_path)
    assert (file.subject, file.subject_source) == (subject, source)


def test_derivatives_are_copies_in_any_capitals(tmp_path: Path) -> None:
    path = tmp_path / "Derivatives" / "clean" / "sub-01" / "eeg" / f"{NAME}_eeg.edf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    (file,) = Bids().recordings(tmp_path)
    assert file.quarantined
    assert file.quarantined[0] is Reason.DUPLICATE_FORMAT
