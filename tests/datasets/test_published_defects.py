"""Defects of the published preparation of data, by their numbers in our list (docs/datasets.md): none of them is ours.

The trees imitate the corpora of Temple University Hospital, as in test_tuh.py.
"""

import multiprocessing
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labram.corpus.catalogue import Corpus
from labram.corpus.splits import apply_splits, assign_splits
from labram.recipe import PreprocessingRecipe, SplitRecipe, TaskRecipe
from labram.store.store import Store
from labram.training.data.labelled import LabelledWindows
from labram.training.data.windows import WindowSampler

TakeIn = Callable[..., tuple[object, Corpus]]
LabelsOf = Callable[[Corpus, str], list[tuple[float, float, tuple[float, ...]]]]
WriteEdf = Callable[..., Path]

ROOT = Path(__file__).parents[2]
CHANNELS = ("EEG FP1-REF", "EEG FP2-REF", "EEG C3-REF", "EEG C4-REF")
PUBLISHED = PreprocessingRecipe(compatibility="published")
EVENTS = TaskRecipe(
    name="events",
    title="Events",
    dataset="tuev",
    kind="multiclass",
    classes=("SPSW", "GPED", "PLED", "EYEM", "ARTF", "BCKG"),
    seconds=5,
    metric="cohen_kappa",
)
ABNORMAL = TaskRecipe(
    name="abnormal",
    title="Abnormal",
    dataset="tuab",
    kind="binary",
    classes=("normal", "abnormal"),
    seconds=10,
    metric="auroc",
)


@pytest.fixture
def edf(tmp_path: Path, write_edf: WriteEdf) -> Callable[..., Path]:
    def write(place: str, *, seconds: int = 12, **more: object) -> Path:
        seed = sum(n * byte for n, byte in enumerate(place.encode()))
        return write_edf(tmp_path / "tree" / place, seed=seed, seconds=seconds, rate=250, channels=CHANNELS, **more)

    return write


@pytest.fixture
def event_recording(edf: Callable[..., Path], tmp_path: Path) -> Path:
    """Events at both edges, one on three channels, one that two channels disagree on."""
    path = edf("edf/train/aaaaaaar/aaaaaaar_00000001.edf")
    path.with_suffix(".rec").write_text(
        "0,0.5,1.5,6\n4,4.0,5.0,1\n5,4.0,5.0,1\n6,4.0,5.0,1\n2,6.0,7.0,2\n3,6.0,7.0,5\n7,10.0,11.0,4\n"
    )
    return tmp_path / "tree"


def test_defect_7_a_recording_shorter_than_a_window_shifts_no_other(
    tmp_path: Path, edf: Callable[..., Path], take_in: TakeIn
) -> None:
    for part, kind, seconds in (("a", "normal", 21), ("b", "abnormal", 4), ("c", "abnormal", 32), ("d", "normal", 1)):
        edf(f"edf/train/{kind}/01_tcp_ar/aaaaaaa{part}_s001_t000.edf", seconds=seconds)
    _, corpus = take_in(tmp_path / "tree")
    store = Store(tmp_path / "store")
    windows = LabelledWindows.load(corpus, store, ABNORMAL, None)
    lengths = dict(zip(corpus.catalogue["recording_id"], corpus.catalogue["seconds"], strict=True))
    assert sorted(lengths[name] for name in windows.recording_ids) == [21, 21, 32, 32, 32]
    for index, name in enumerate(windows.recording_ids):
        assert windows.y[index] == float(lengths[name] == 32)
        (batch,) = windows.batch(np.array([index]))
        assert batch.recording_ids == (name,)
    train = apply_splits(corpus, dict.fromkeys(corpus.catalogue["subject_key"], "train"))
    sampler = WindowSampler.of(
        train, store, split="train", seed=0, patches=64, micro_batches=1, window_patches=64, window_seconds=10
    )
    seen = {name for step in range(20) for batch in sampler.batch(step) for name in batch.recording_ids}
    assert {lengths[name] for name in seen} >= {21, 32}


class TestDefect9:
    def tree(self, edf: Callable[..., Path]) -> None:
        for number, letter in enumerate("abcdefghij"):
            edf(f"edf/train/normal/01_tcp_ar/aaaaaaa{letter}_s001_t000.edf", seconds=2)
            if number % 2:
                edf(f"edf/train/abnormal/01_tcp_ar/aaaaaaa{letter}_s002_t000.edf", seconds=2)
        for letter in "xyz":
            edf(f"edf/eval/normal/01_tcp_ar/aaaaaaa{letter}_s001_t000.edf", seconds=2)

    def test_defect_9_a_patient_with_both_verdicts_is_on_one_side_and_eval_is_the_test_part(
        self, tmp_path: Path, edf: Callable[..., Path], take_in: TakeIn
    ) -> None:
        self.tree(edf)
        _, corpus = take_in(tmp_path / "tree")
        stated = set(corpus.catalogue.loc[corpus.catalogue["split"] == "test", "subject_key"])
        splits = assign_splits(corpus, SplitRecipe(validation=0.2, test=0.2), seed=4523)
        judged = apply_splits(corpus, splits).catalogue
        assert judged.groupby("subject_key")["split"].nunique().eq(1).all()
        assert {subject for subject, split in splits.items() if split == "test"} == stated
        assert len(stated) == 3
        assert set(splits.values()) == {"train", "validation", "test"}
        assert assign_splits(corpus, SplitRecipe(validation=0.2, test=0.2), seed=4523) == splits


class TestDefect10:
    def test_defect_10_events_on_several_channels_are_one_sample_and_edges_are_not_wrapped(
        self, event_recording: Path, take_in: TakeIn, labels_of: LabelsOf
    ) -> None:
        _, corpus = take_in(event_recording)
        assert labels_of(corpus, "events") == [(2.0, 5.0, (0.0,))]
        assert [list(found) for found in corpus.accepted()["warnings"]] == [
            ["excluded_at_the_edge=2", "excluded_conflicting_labels=1"]
        ]

    def test_defect_10_published_compatibility_repeats_and_wraps(
        self, tmp_path: Path, event_recording: Path, take_in: TakeIn, labels_of: LabelsOf
    ) -> None:
        _, corpus = take_in(event_recording, preprocessing=PUBLISHED)
        assert sorted(labels_of(corpus, "events")) == sorted(
            [(-1.5, 5.0, (5.0,)), *[(2.0, 5.0, (0.0,))] * 3, (4, 5, (1.0,)), (4, 5, (4.0,)), (-4.0, 5.0, (3.0,))]
        )
        store = Store(tmp_path / "store")
        (group,) = LabelledWindows.load(corpus, store, EVENTS, None).groups
        patches = store.patches(corpus.accepted()["store_key"].iloc[0])
        once = patches.transpose(1, 0, 2).reshape(len(CHANNELS), -1)
        thrice = np.tile(once, 3).astype(np.float32)
        assert len(group) == 7
        for start, window in zip(group.starts, next(group.signals(7)), strict=True):
            begin = once.shape[1] + start
            np.testing.assert_array_equal(window, thrice[:, begin : begin + 1000])


def test_defect_11_the_notch_is_at_the_line_frequency(
    tmp_path: Path, edf: Callable[..., Path], take_in: TakeIn
) -> None:
    time = np.arange(30 * 250) / 250
    hum = np.tile(50 * np.sin(2 * np.pi * 60 * time) + 20 * np.sin(2 * np.pi * 10 * time), (len(CHANNELS), 1))
    edf("edf/train/normal/01_tcp_ar/aaaaaaaa_s001_t000.edf", seconds=30, signals=hum)

    def left(corpus: Corpus) -> float:
        (key,) = corpus.accepted()["store_key"]
        signal = Store(tmp_path / "store").patches(key)[5:25].transpose(1, 0, 2).reshape(len(CHANNELS), -1)
        spectrum = np.abs(np.fft.rfft(signal[0].astype(float))) * 2 / signal.shape[1]
        return float(spectrum[60 * 20])

    _, corpus = take_in(tmp_path / "tree")
    assert left(corpus) < 0.5
    _, corpus = take_in(tmp_path / "tree", preprocessing=PUBLISHED)
    assert left(corpus) > 45
    assert set(corpus.accepted()["mains_hz"]) == {60.0}


def _signals(windows: LabelledWindows) -> list[float]:
    return [float(next(group.signals(len(group))).sum(dtype=np.float64)) for group in windows.groups]


def test_defect_30_a_file_a_recording_in_16_bits_read_by_any_process(
    tmp_path: Path, edf: Callable[..., Path], take_in: TakeIn
) -> None:
    for letter in "abc":
        edf(f"edf/train/normal/01_tcp_ar/aaaaaaa{letter}_s001_t000.edf", seconds=30)
    _, corpus = take_in(tmp_path / "tree")
    store = Store(tmp_path / "store")
    windows = LabelledWindows.load(corpus, store, ABNORMAL, None)
    here = _signals(windows)  # what is open in this process when another forks from it must not disturb
    assert len(list(store.root.rglob("*.arrow"))) == 3
    assert store.patches(corpus.accepted()["store_key"].iloc[0]).dtype == np.float16
    with multiprocessing.get_context("fork").Pool(2) as workers:
        assert workers.map(_signals, [windows] * 2) == [here] * 2


def test_every_defect_of_preparing_data_has_a_test_and_a_line_in_the_documentation() -> None:
    tests = set(re.findall(r"def (test_defect_\d+_\w+)", Path(__file__).read_text(encoding="utf-8")))
    table = re.findall(r"^\| (\d+) \|.*`(test_defect_\w+)`", (ROOT / "docs" / "datasets.md").read_text(), re.M)
    assert {number for number, _ in table} == {"7", "9", "10", "11", "30"}
    for number, name in table:
        assert name.startswith(f"test_defect_{number}_")
        assert name in tests
