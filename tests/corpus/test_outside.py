"""What a link brings into a corpus folder from elsewhere is not read."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from labram.corpus.catalogue import Corpus
from labram.datasets.base import list_files
from labram.datasets.bids_sidecars import read_facts
from labram.datasets.containment import lies_inside

TakeIn = Callable[..., tuple[object, Corpus]]
WriteEdf = Callable[..., Path]


def reasons(corpus: Corpus) -> list[list[str]]:
    return sorted(list(found) for found in corpus.catalogue["reasons"])


@pytest.mark.parametrize(
    ("link", "target", "inside"),
    [
        ("corpus/a.edf", "corpus/real.edf", True),
        ("corpus/a.edf", "corpus/absent.edf", True),
        ("corpus/a.edf", "corpus/a.edf", True),
        ("corpus/a.edf", "private/a.edf", False),
        ("corpus/folder", "private", False),
        ("corpus/a.edf", "corpus-of-others/a.edf", False),
        ("corpus/a.edf", ".git/annex/objects/a", True),
        ("corpus/a.edf", ".git/modules/corpus/annex/objects/a", True),
        ("corpus/a.edf", ".git/config", False),
        ("corpus/a.edf", ".dvc/cache/files/md5/ab/c", True),
        ("corpus/a.edf", ".dvc/config", False),
    ],
)
def test_links_stay_in_the_corpus_or_in_a_store_of_its_repository(
    tmp_path: Path, link: str, target: str, inside: bool
) -> None:
    (tmp_path / link).parent.mkdir(parents=True)
    (tmp_path / link).symlink_to(tmp_path / target)
    assert lies_inside(tmp_path / link, tmp_path / "corpus") is inside
    (tmp_path / "given").symlink_to("corpus")
    assert lies_inside(tmp_path / "given" / Path(link).name, tmp_path / "given") is inside


def test_recordings_folders_and_samples_elsewhere_are_quarantined_and_not_hashed(
    tmp_path: Path, write_edf: WriteEdf, take_in: TakeIn
) -> None:
    data = tmp_path / "data"
    write_edf(data / "a.edf", seed=1)
    secret = write_edf(tmp_path / "private" / "secret.edf", seed=2)
    (data / "file.edf").symlink_to(secret)
    (data / "folder").symlink_to(secret.parent)
    (data / "text.csv").symlink_to(secret)
    (data / "inside").mkdir()
    (data / "inside" / "a.edf").symlink_to("../a.edf")
    (data / "b.vhdr").write_text("BrainVision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=b.eeg\n")
    (data / "b.eeg").symlink_to(secret)
    _, corpus = take_in(data)
    assert reasons(corpus) == [[], [], *[["outside_folder"]] * 4]
    refused = corpus.quarantined()
    assert not any(refused["content_hash"])
    assert not any(refused["bytes"])


def test_a_folder_of_another_dataset_of_the_corpus_may_be_linked(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.edf").write_bytes(b"a")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "linked").symlink_to("../one")
    assert list_files(tmp_path / "two", tmp_path) == [tmp_path / "two" / "linked" / "a.edf"]
    assert list_files(tmp_path / "two") == [tmp_path / "two" / "linked"]


def test_sidecars_elsewhere_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "private.json").write_text(json.dumps({"PowerLineFrequency": 60, "EEGReference": "secret"}))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sub-01_eeg.json").symlink_to(tmp_path / "private.json")
    facts = read_facts(tmp_path / "data" / "sub-01_eeg.edf", tmp_path / "data")
    assert (facts.reference, facts.notes) == ("", ("sidecar_unreadable", "line_freq_not_stated"))


def test_labels_elsewhere_are_not_read(tmp_path: Path, write_edf: WriteEdf, take_in: TakeIn) -> None:
    path = write_edf(tmp_path / "data" / "tuev" / "edf" / "train" / "aaaaaaar" / "aaaaaaar_00000001.edf")
    (tmp_path / "labels.rec").write_text("0,1.0,2.0,6\n")
    path.with_suffix(".rec").symlink_to(tmp_path / "labels.rec")
    _, corpus = take_in(tmp_path / "data", ("tuev",))
    assert not len(corpus.labels)
    assert [list(found) for found in corpus.catalogue["warnings"]] == [["missing_label"]]
