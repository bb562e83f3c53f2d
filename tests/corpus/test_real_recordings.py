"""Real recordings, read where they are; parts of a dataset are copied."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from labram.corpus.catalogue import Corpus
from labram.corpus.ingest import IngestResult
from labram.corpus.quality import check_quality
from labram.corpus.scan import hash_content, recording_id, scan
from labram.datasets import ADAPTERS, find
from labram.recipe import QualityRecipe, SplitRecipe, load
from labram.store.store import Store

pytestmark = pytest.mark.real
TakeIn = Callable[..., tuple[IngestResult, Corpus]]
KEY = b"a key for tests"
SPLIT = SplitRecipe(validation=0.2, test=0.3, few_subjects="allow")


@pytest.fixture
def judged(real_eeg: Path, take_in: TakeIn, tmp_path: Path) -> Callable[..., Corpus]:
    def run(dataset: str, *places: str, tasks: dict[str, str] | None = None) -> Corpus:
        """Ingest and judge a dataset, or some files and folders of it."""
        data = tmp_path / "data"
        for place in places:
            (data / dataset / place).parent.mkdir(parents=True, exist_ok=True)
            source = real_eeg / dataset / place
            (shutil.copytree if source.is_dir() else shutil.copy)(source, data / dataset / place)
        take_in(data if places else real_eeg, (dataset,))
        check_quality(
            [tmp_path / "shards" / "0-1"],
            tmp_path / "corpus",
            QualityRecipe(),
            SPLIT,
            store=Store(tmp_path / "store"),
            tasks=tasks,
        )
        return Corpus.load(tmp_path / "corpus")

    return run


def subject_of(corpus: Corpus, real_eeg: Path, dataset: str) -> dict[str, str]:
    """The dataset's own subject by recording, which no catalogue has."""
    items = scan(real_eeg, (dataset,))
    names = {recording_id(item, hash_content(item.file.path).digest, KEY): item.file.subject for item in items}
    assert set(names) == set(corpus.catalogue["recording_id"])
    return names


def test_the_five_datasets_are_recognised_without_being_named_and_the_rest_is_a_plain_folder(real_eeg: Path) -> None:
    found = {adapter.name: folder for adapter, folder in find(real_eeg, ())}
    assert found.pop("folder") == real_eeg
    assert found == {name: real_eeg / name for name in ("eegmat", "eegmmidb", "ssvep_exo", "uci_smni", "muse")}


def test_every_recording_of_them_is_found(real_eeg: Path) -> None:
    items = scan(real_eeg, load("real-small").corpus.datasets)
    counts = {name: sum(item.dataset.name == name for item in items) for name in ADAPTERS}
    assert {name: count for name, count in counts.items() if count} == {
        "eegmat": 20,
        "eegmmidb": 11,
        "ssvep_exo": 14,
        "uci_smni": 300,
        "muse": 30,
    }


def test_bad_acquisitions_of_muse_are_refused_and_no_others(judged: Callable[..., Corpus], real_eeg: Path) -> None:
    corpus = judged("muse", tasks={"reaction_time": "muse"})
    subjects = subject_of(corpus, real_eeg, "muse")
    refused = sorted(
        (subjects[row.recording_id], sorted(row.reasons)) for row in corpus.quarantined().itertuples(index=False)
    )
    assert refused == [
        ("subject1103", ["excessive_amplitude"]),
        ("subject1308", ["gaps"]),
        ("subject1311", ["excessive_amplitude", "gaps"]),
        ("subject3", ["duplicate_content"]),
    ]
    times = [label[0] for label in corpus.intervals("reaction_time")["label"]]
    assert len(times) == 220
    assert 0.15 <= min(times) <= max(times) <= 2.0


def test_wrong_units_of_the_exoskeleton_are_put_right(judged: Callable[..., Corpus]) -> None:
    subjects = [f"subject{number:02d}" for number in (2, 3, 8)]
    corpus = judged("ssvep_exo", *subjects, tasks={"ssvep": "ssvep_exo"})
    assert corpus.accepted()["median_sd_uv"].between(5, 15).all()
    assert set(zip(corpus.accepted()["format"], corpus.accepted()["unit_scale"], strict=True)) == {
        ("gdf", 1e3),
        ("fif", 1e-3),
    }
    assert corpus.quarantined()["reasons"].tolist() == [["duplicate_format"]]
    trials = corpus.intervals("ssvep")
    assert trials.groupby("recording_id").size().tolist() == [32] * 4
    classes = trials["label"].map(lambda label: label[0])
    assert classes.value_counts().to_dict() == {0.0: 32, 1.0: 32, 2.0: 32, 3.0: 32}


def test_rest_and_arithmetic_are_labelled(judged: Callable[..., Corpus]) -> None:
    corpus = judged("eegmat", *(f"Subject{subject}_{part}.edf" for subject in ("09", "16", "18") for part in (1, 2)))
    workload = corpus.intervals("workload")
    assert sorted(label[0] for label in workload["label"]) == [0, 0, 0, 1, 1, 1]
    assert (workload["seconds"] <= workload["recording_seconds"]).all()
    assert {len(montage) for montage in workload["montage"]} == {19}
    assert set(workload["split"]) == {"train", "validation", "test"}


def test_a_subject_recorded_at_another_rate_is_at_home(judged: Callable[..., Corpus]) -> None:
    corpus = judged("eegmmidb", "S088", "S001/S001R01.edf")
    assert sorted(corpus.accepted()["rate_hz"]) == [128.0, 160.0]
    assert {len(montage) for montage in corpus.accepted()["montage"]} == {64}


def test_recordings_of_one_second_are_patches_too(judged: Callable[..., Corpus]) -> None:
    corpus = judged("uci_smni", "co2a0000368")
    assert len(corpus.accepted()) == 30
    assert set(corpus.accepted()["seconds"]) == {1}
    assert {len(montage) for montage in corpus.accepted()["montage"]} == {61}
