"""What BIDS sidecars state is used, or noted."""

import json
from pathlib import Path

import pytest

from labram.datasets.bids import Bids
from labram.datasets.bids_sidecars import Facts, read_facts
from labram.errors import Reason

NAME = "sub-01_task-rest"


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
