from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from labram.corpus.catalogue import LABELS, SCHEMA, Corpus, describe
from labram.errors import CorpusError


def row(number: int, **columns: object) -> dict[str, object]:
    return {
        "recording_id": f"set-{number}",
        "dataset": "set",
        "subject_key": f"set-s{number % 2}",
        "content_hash": f"{number:064x}",
        "montage": ["FP1", "O2"],
        "seconds": 10,
        "verdict": "accepted",
        "reasons": [],
        "warnings": [],
        "split": "train",
        **columns,
    }


@pytest.fixture
def corpus() -> Corpus:
    rows = [row(1), row(2, split="test"), row(3, verdict="quarantined", reasons=["gaps"], split="")]
    labels = [
        {"recording_id": f"set-{number}", "task": "task", "start": 1.0, "seconds": 4.0, "label": [1.0]}
        for number in (1, 2, 3)
    ]
    return Corpus.of(rows, labels)


def test_what_is_saved_is_what_is_loaded(corpus: Corpus, tmp_path: Path) -> None:
    corpus.save(tmp_path)
    loaded = Corpus.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.catalogue, corpus.catalogue)
    pd.testing.assert_frame_equal(loaded.labels, corpus.labels)
    assert loaded.catalogue["montage"][0] == ["FP1", "O2"]


def test_the_same_tables_give_the_same_bytes(corpus: Corpus, tmp_path: Path) -> None:
    corpus.save(tmp_path / "a")
    Corpus.load(tmp_path / "a").save(tmp_path / "b")
    for name in ("catalogue.parquet", "labels.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_accepted_and_quarantined_are_everything(corpus: Corpus) -> None:
    assert list(corpus.accepted()["recording_id"]) == ["set-1", "set-2"]
    assert list(corpus.accepted("test")["recording_id"]) == ["set-2"]
    assert list(corpus.accepted(dataset="other")["recording_id"]) == []
    assert list(corpus.quarantined()["recording_id"]) == ["set-3"]


def test_intervals_are_those_of_accepted_recordings(corpus: Corpus) -> None:
    intervals = corpus.intervals("task")
    assert list(intervals["recording_id"]) == ["set-1", "set-2"]
    assert list(intervals["seconds"]) == [4.0, 4.0]
    assert list(intervals["recording_seconds"]) == [10, 10]
    assert corpus.intervals("task", split="test")["label"].tolist() == [[1.0]]


def test_shards_without_recordings_merge(corpus: Corpus) -> None:
    merged = Corpus.merged([Corpus.of([], []), corpus])
    assert list(merged.catalogue["recording_id"]) == ["set-1", "set-2", "set-3"]
    assert merged.catalogue["seconds"].dtype == corpus.catalogue["seconds"].dtype


def test_every_column_is_described_with_its_unit() -> None:
    text = describe()
    for field in (*SCHEMA, *LABELS):
        assert field.metadata[b"description"], field.name
        assert f"| `{field.name}` |" in text
    for field in SCHEMA:
        assert not field.name.endswith("_uv") or field.metadata[b"unit"] == "µV".encode()


def test_the_documentation_has_the_tables_as_they_are() -> None:
    assert describe() in (Path(__file__).parents[2] / "docs" / "quality.md").read_text()


def test_a_catalogue_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="ingest again"):
        Corpus.load(tmp_path)


def test_a_catalogue_of_another_version_says_so(corpus: Corpus, tmp_path: Path) -> None:
    corpus.save(tmp_path)
    path = tmp_path / "catalogue.parquet"
    pq.write_table(pq.read_table(path).drop_columns("psd_slope").replace_schema_metadata(None), path)
    with pytest.raises(CorpusError, match="psd_slope"):
        Corpus.load(tmp_path)


@pytest.mark.parametrize("name", ["catalogue.parquet", "labels.parquet"])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.9, 0.99])
def test_a_flipped_bit_is_noticed(corpus: Corpus, tmp_path: Path, name: str, place: float) -> None:
    corpus.save(tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[int(place * len(content))] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match="damaged") as caught:
        Corpus.load(tmp_path)
    assert caught.value.file == name


@pytest.mark.parametrize("name", ["catalogue.parquet", "labels.parquet"])
def test_a_decision_rests_on_no_table_that_another_program_wrote(corpus: Corpus, tmp_path: Path, name: str) -> None:
    corpus.save(tmp_path)
    Corpus.load(tmp_path, sealed=True)
    pq.write_table(pq.read_table(tmp_path / name).replace_schema_metadata(None), tmp_path / name)
    Corpus.load(tmp_path)
    with pytest.raises(CorpusError, match="damaged") as caught:
        Corpus.load(tmp_path, sealed=True)
    assert caught.value.file == name
