"""Age and sex from headers, as labels where the owner allows it."""

from pathlib import Path

import pytest

from labram.datasets.stated.file_dataset import FileDataset
from labram.datasets.stated.label_table import TableError
from labram.errors import CorpusError
from labram.signals.readers import edf_person
from tests.datasets.test_stated import labels, recorded, study

__all__ = ["recorded", "study"]  # fixtures
YEARS = {"age": {"targets": ["years"], "labels": {"from": "edf.age", "missing": [0, 999], "valid": [18, 99]}}}


class TestPersonalFields:
    @staticmethod
    def state(path: Path, patient: str, start: str = "01.02.20") -> None:
        content = bytearray(path.read_bytes())
        content[8:88], content[168:176] = patient.encode().ljust(80), start.encode()
        path.write_bytes(content)

    def test_age_and_sex_are_read_from_edf_where_the_file_allows_it(self, study) -> None:
        sex = {
            "sex": {
                "classes": ["female", "male"],
                "labels": {"from": "edf.sex", "values": {"F": "female", "M": "male"}},
            }
        }
        folder = study(tasks={**YEARS, **sex}, keep_personal=True)
        self.state(folder / "P01_a.edf", "X F 02-MAR-1970 Doe")
        self.state(folder / "P01_b.edf", "aaaaaaaq M 01-JAN-1950 aaaaaaaq Age:50")
        self.state(folder / "P02_a.edf", "X X X X Age:999")
        self.state(folder / "P02_b.edf", "X m 02-MAR-2005 Doe", "01.02.24")
        self.state(folder / "P03_a.edf", "X X X X Age:7")
        found = labels(folder)
        assert found["P01_a.edf"] == [("age", None, None, 49.0), ("sex", None, None, 0.0)]
        assert found["P01_b.edf"] == [("age", None, None, 50.0), ("sex", None, None, 1.0)]
        assert found["P02_b.edf"] == [("age", None, None, 18.0), ("sex", None, None, 1.0)]
        assert found["P02_a.edf"] == found["P03_a.edf"] == []
        notes = FileDataset.load(folder).contents(folder).notes
        assert "P03_a.edf: no valid edf.age in its header; not used" in notes
        assert "Doe" not in "".join(notes)
        with pytest.raises(CorpusError, match="only with keep_personal: true"):
            FileDataset.load(study(tasks=YEARS))

    @pytest.mark.parametrize(
        ("patient", "start", "age", "sex"),
        [
            ("X F 01-FEB-2001 Doe", "01.02.02", 1.0, "F"),  # a birthday after 365 days
            ("X F 02-FEB-2001 Doe", "01.02.02", 0.0, "F"),
            ("John M Smith", "01.02.02", None, ""),
            ("X M X X", "01.02.02", None, "M"),
        ],
    )
    def test_birthdays_are_those_of_calendars_and_an_initial_is_no_sex(
        self, tmp_path: Path, write_edf, patient, start, age, sex
    ) -> None:
        path = write_edf(tmp_path / "a.edf", seconds=1)
        self.state(path, patient, start)
        assert (edf_person.age(path), edf_person.sex(path)) == (age, sex)

    def test_targets_in_tables_have_missing_codes_and_a_valid_range(self, study) -> None:
        source = {"table": "labels.csv", "file": "file", "label": ["age"], "missing": [999], "valid": [18, 99]}
        years = {"age": {"targets": ["years"], "labels": source}}
        folder = study("file,age", "P01_a,999", "P01_b,20", tasks=years)
        assert FileDataset.load(folder).contents(folder).notes == (
            "labels.csv row 2: no value in column 'age'; not used",
        )
        with pytest.raises(TableError, match=r"row 3: 7 in column 'age' is outside 18 to 99"):
            labels(study("file,age", "P01_a,20", "P01_b,7", tasks=years))
