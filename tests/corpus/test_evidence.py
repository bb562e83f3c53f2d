"""Evidence that two subjects are one person: they are in the same split, and their recordings have a warning."""

import datetime
from collections.abc import Callable
from pathlib import Path

import edfio
import numpy as np
import pytest

from labram.corpus.catalogue import Corpus
from labram.corpus.evidence import find_ties, origin_columns
from labram.corpus.splits import assign_splits
from labram.recipe import SplitRecipe
from labram.reporting.corpus import _identity
from labram.signals.readers.origin import Origin

KEY = b"key"
NOTHING = Origin()
CHANNELS = ("FP1", "FP2", "C3", "C4", "O1", "O2")


def row(number: int, origin: Origin = NOTHING, subject: str = "", **columns: object) -> dict[str, object]:
    return {
        "recording_id": f"folder-{number}", "dataset": "folder", "subject_source": "guessed",
        "subject_key": subject or f"folder-s{number}", "content_hash": f"{number:064x}", "format": "edf",
        "montage": list(CHANNELS), "rate_hz": 200.0, "seconds": 600, "verdict": "accepted", "reasons": [],
        "warnings": [], "split": "", **origin_columns(origin, "folder", 600, KEY), **columns,
    }  # fmt: skip


def ties(rows: list[dict[str, object]]) -> list[tuple[str, str, bool]]:
    found = find_ties(Corpus.of(rows, []).accepted())
    return [(tie.code, " ".join(sorted(tie.subjects)), tie.binding) for tie in found]


def split_of(rows: list[dict[str, object]], seed: int) -> dict[str, str]:
    return dict(assign_splits(Corpus.of(rows, []), SplitRecipe(validation=0.25, test=0.25), seed))


def others(count: int = 8) -> list[dict[str, object]]:
    return [row(100 + number, Origin(f"person {number}", "amp", 9e8 + 7777.0 * number)) for number in range(count)]


EVIDENCE = {
    "same_patient": ({"origin": Origin("doe jane")}, {"origin": Origin("doe jane")}),
    "adjoining": ({"origin": Origin("", "amp", 1e9)}, {"origin": Origin("", "amp", 1e9 + 601)}),
    "near_duplicate": ({"signal_sketch": [1, 2, 3, 4, 5]}, {"signal_sketch": [2, 3, 4, 5, 6]}),
}


@pytest.mark.parametrize("code", EVIDENCE)
class TestTwoSubjectsOfOnePerson:
    def test_are_in_the_same_split_whatever_the_seed(self, code: str) -> None:
        one, other = EVIDENCE[code]
        rows = [*others(), row(1, **one), row(2, **other)]  # type: ignore[arg-type]
        assert ties(rows) == [(code, "folder-s1 folder-s2", True)]
        splits = [split_of(rows, seed) for seed in range(12)]
        assert all(split["folder-s1"] == split["folder-s2"] for split in splits)
        assert {split["folder-s1"] for split in splits} == {"train", "validation", "test"}

    def test_are_stated_in_the_report(self, code: str) -> None:
        one, other = EVIDENCE[code]
        rows = [*others(), row(1, **one), row(2, **other)]  # type: ignore[arg-type]
        assert "tie 1 pair of subjects together" in _identity(Corpus.of(rows, []))
        assert "tie" not in _identity(Corpus.of(others(), []))

    def test_are_nothing_to_note_if_they_are_one_subject(self, code: str) -> None:
        one, other = EVIDENCE[code]
        rows = [row(1, subject="s", **one), row(2, subject="s", **other)]  # type: ignore[arg-type]
        assert ties([*others(), *rows]) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Origin("doe jane"), Origin("doe john")),
        (Origin("", "amp", 1e9), Origin("", "amp", 1e9 + 620)),
        (Origin("", "amp", 1e9), Origin("", "amp", 1e9)),
        (Origin("", "amp 1", 1e9), Origin("", "amp 2", 1e9 + 600)),
        (Origin(), Origin()),
    ],
    ids=["names", "pause", "same start", "device", "nothing stated"],
)
def test_no_evidence(one: Origin, other: Origin) -> None:
    assert ties([row(1, one), row(2, other)]) == []


def test_headers_do_not_overrule_the_layout_of_a_dataset() -> None:
    stated = {"subject_source": "adapter"}
    assert ties([row(1, Origin("doe"), **stated), row(2, Origin("doe"), **stated)]) == []  # type: ignore[arg-type]


def test_a_patient_field_of_most_subjects_is_a_warning_only() -> None:
    rows = [row(number, Origin("ward 7")) for number in range(9)]
    assert len(ties(rows)) == 8
    assert not any(binding for _, _, binding in ties(rows))
    assert set(split_of(rows, 0).values()) == {"train", "validation", "test"}
    assert "Most subjects have the same patient field" in _identity(Corpus.of(rows, []))


def test_sessions_taken_for_subjects_are_tied_by_their_headers() -> None:
    people = [row(10 * person + session, Origin(f"p{person}")) for person in range(6) for session in range(3)]
    split = split_of(people, 0)
    assert all(len({split[f"folder-s{10 * person + session}"] for session in range(3)}) == 1 for person in range(6))


def test_ingest_hashes_the_header_and_finds_a_trimmed_copy(
    tmp_path: Path, take_in: Callable[..., tuple[object, Corpus]]
) -> None:
    rng = np.random.default_rng(0)

    def write(name: str, signal: np.ndarray, patient: str, minute: int) -> None:
        path = tmp_path / "data" / name
        path.parent.mkdir(exist_ok=True)
        edfio.Edf(
            [
                edfio.EdfSignal(one, 200, label=label, physical_dimension="uV")
                for one, label in zip(signal, CHANNELS, strict=True)
            ],
            patient=edfio.Patient(code="K7", name=patient),
            recording=edfio.Recording(startdate=datetime.date(2019, 5, 6), equipment_code="amp"),
            starttime=datetime.time(9, minute),
        ).write(path)

    whole = np.cumsum(rng.standard_normal((6, 200 * 40)), axis=1)
    write("a.edf", whole, "Grete_Muster", 0)
    write("b.edf", np.cumsum(rng.standard_normal((6, 200 * 60)), axis=1), "Grete_Muster", 10)
    write("c.edf", whole[:, 200 * 3 :], "X", 20)
    write("d.edf", np.cumsum(rng.standard_normal((6, 200 * 20)), axis=1), "X", 11)
    _, corpus = take_in(tmp_path / "data")
    found = {(tie.code, tie.binding) for tie in find_ties(corpus.accepted())}
    assert found == {("same_patient", True), ("near_duplicate", True), ("adjoining", True)}
    text = corpus.catalogue.to_json()
    assert not any(word in text for word in ("muster", "Muster", "K7"))
