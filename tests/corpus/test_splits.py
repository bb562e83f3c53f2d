import hashlib
from collections.abc import Sequence

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labram.corpus.catalogue import Corpus
from labram.corpus.splits import apply_splits, assign_splits
from labram.recipe import SplitRecipe

RECIPE = SplitRecipe(validation=0.2, test=0.3)


def row(subject: str, content: str, *, dataset: str = "set", **columns: object) -> dict[str, object]:
    return {
        "recording_id": hashlib.sha256(f"{subject} {content}".encode()).hexdigest(),
        "dataset": dataset,
        "subject_key": subject,
        "content_hash": hashlib.sha256(content.encode()).hexdigest(),
        "montage": ["CZ"],
        "seconds": 10,
        "verdict": "accepted",
        "reasons": [],
        "warnings": [],
        **columns,
    }


def corpus_of(rows: Sequence[dict[str, object]], labels: Sequence[tuple[int, str, float]] = ()) -> Corpus:
    return Corpus.of(
        rows,
        [
            {"recording_id": rows[index]["recording_id"], "task": task, "start": 0.0, "seconds": 1.0, "label": [value]}
            for index, task, value in labels
        ],
    )


def simple(subjects: int, dataset: str = "set") -> list[dict[str, object]]:
    return [
        row(f"{dataset}-{n}", f"{dataset} {n} {part}", dataset=dataset) for n in range(subjects) for part in range(2)
    ]


@settings(max_examples=50, deadline=None)
@given(subjects=st.integers(3, 40), seed=st.integers(0, 9), test=st.floats(0.01, 0.9), validation=st.floats(0.01, 0.9))
def test_three_subjects_and_more_are_in_every_split(subjects: int, seed: int, test: float, validation: float) -> None:
    splits = assign_splits(corpus_of(simple(subjects)), SplitRecipe(validation=validation, test=test), seed)
    assert len(splits) == subjects
    assert set(splits.values()) == {"train", "validation", "test"}


def test_shares_are_those_of_the_recipe() -> None:
    splits = pd.Series(assign_splits(corpus_of(simple(20)), RECIPE, 0))
    assert splits.value_counts().to_dict() == {"train": 10, "test": 6, "validation": 4}


@pytest.mark.parametrize("subjects", [1, 2])
def test_with_fewer_all_are_for_training(subjects: int) -> None:
    assert set(assign_splits(corpus_of(simple(subjects)), RECIPE, 0).values()) == {"train"}


def test_a_share_of_zero_holds_nobody_out() -> None:
    splits = assign_splits(corpus_of(simple(10)), SplitRecipe(validation=0.0, test=0.2), 0)
    assert set(splits.values()) == {"train", "test"}


def test_all_recordings_of_a_subject_are_in_one_split() -> None:
    corpus = corpus_of(simple(12))
    judged = apply_splits(corpus, assign_splits(corpus, RECIPE, 0))
    assert judged.catalogue.groupby("subject_key")["split"].nunique().eq(1).all()


def test_every_dataset_is_shared_out_for_itself() -> None:
    splits = assign_splits(corpus_of([*simple(4, "one"), *simple(5, "two")]), RECIPE, 0)
    for dataset in ("one", "two"):
        assert len({split for subject, split in splits.items() if subject.startswith(dataset)}) == 3


def test_the_seed_decides_and_row_order_does_not() -> None:
    rows = simple(20)
    first = assign_splits(corpus_of(rows), RECIPE, 0)
    assert assign_splits(corpus_of(rows[::-1]), RECIPE, 0) == first
    assert assign_splits(corpus_of(rows), RECIPE, 1) != first


def test_the_key_of_subject_names_has_no_say() -> None:
    rows = simple(20)
    new_names = {str(entry["subject_key"]): f"set-{n:02d}" for n, entry in enumerate(reversed(rows))}
    renamed = [{**entry, "subject_key": new_names[str(entry["subject_key"])]} for entry in rows]
    before = assign_splits(corpus_of(rows), RECIPE, 0)
    assert assign_splits(corpus_of(renamed), RECIPE, 0) == {new_names[old]: split for old, split in before.items()}


@pytest.mark.parametrize("seed", range(8))
def test_subjects_who_share_a_recording_stay_together(seed: int) -> None:
    copy = {"verdict": "quarantined", "reasons": ["duplicate_content"]}
    rows = [*simple(9), row("set-0", "shared"), row("set-5", "shared", **copy), row("set-7", "shared", **copy)]
    splits = assign_splits(corpus_of(rows), RECIPE, seed)
    assert splits["set-0"] == splits["set-5"] == splits["set-7"]
    assert set(splits.values()) == {"train", "validation", "test"}


@pytest.mark.parametrize("seed", range(8))
def test_so_do_those_of_two_datasets(seed: int) -> None:
    copy = {"verdict": "quarantined", "reasons": ["duplicate_content"]}
    rows = [*simple(5, "one"), *simple(5, "two"), row("one-1", "x"), row("two-3", "x", dataset="two", **copy)]
    splits = assign_splits(corpus_of(rows), RECIPE, seed)
    assert splits["one-1"] == splits["two-3"]


def test_empty_files_make_nobody_a_twin() -> None:
    broken = {"verdict": "quarantined", "reasons": ["damaged"]}
    rows = [*simple(30), *(row(f"set-{n}", "nothing", **broken) for n in range(30))]
    assert len(set(assign_splits(corpus_of(rows), RECIPE, 0).values())) == 3


@pytest.mark.parametrize("seed", range(8))
def test_both_classes_are_in_every_split_where_a_subject_has_one(seed: int) -> None:
    rows = [row(f"set-{n}", str(n)) for n in range(8)]
    splits = assign_splits(corpus_of(rows, [(n, "abnormal", float(n < 3)) for n in range(8)]), RECIPE, seed)
    for members in (range(3), range(3, 8)):
        assert len({splits[f"set-{n}"] for n in members}) == 3


@pytest.mark.parametrize("seed", range(8))
def test_labelled_subjects_are_in_every_split(seed: int) -> None:
    rows = [row(f"set-{n}", str(n)) for n in range(20)]
    labels = [(n, "time", value) for n in range(4) for value in (0.5, 0.7)]
    splits = assign_splits(corpus_of(rows, labels), RECIPE, seed)
    assert len({splits[f"set-{n}"] for n in range(4)}) == 3


def test_the_quarantine_has_no_split() -> None:
    rows = [*simple(3), row("set-0", "bad", verdict="quarantined", reasons=["gaps"])]
    corpus = corpus_of(rows)
    judged = apply_splits(corpus, assign_splits(corpus, RECIPE, 0))
    assert judged.quarantined()["split"].tolist() == [""]
    assert set(judged.accepted()["split"]) == {"train", "validation", "test"}


def test_the_authors_own_test_part_is_kept_and_nobody_is_added_to_it() -> None:
    rows = [{**entry, "split": "test" if n < 6 else ""} for n, entry in enumerate(simple(13))]
    splits = pd.Series(assign_splits(corpus_of(rows), RECIPE, 0))
    assert sorted(splits[splits == "test"].index) == ["set-0", "set-1", "set-2"]
    assert splits.value_counts().to_dict() == {"train": 8, "test": 3, "validation": 2}


def test_whoever_is_in_the_test_part_of_one_dataset_is_so_in_all() -> None:
    rows = [
        row("tuh-1", "one", dataset="tusz", split="train"),
        row("tuh-1", "two", dataset="tuab", split="test"),
        row("tuh-2", "three", dataset="tusz", split="validation"),
        row("tuh-3", "four", dataset="tusz", split="train"),
    ]
    assert assign_splits(corpus_of(rows), RECIPE, 0) == {"tuh-1": "test", "tuh-2": "validation", "tuh-3": "train"}


def test_the_digest_of_the_splits_follows_contents_and_splits_and_nothing_else() -> None:
    rows = [row(f"s{number}", f"c{number}") | {"split": "train"} for number in range(3)]
    digest = corpus_of(rows).splits_hash()
    renamed = [one | {"subject_key": f"other-{one['subject_key']}"} for one in rows]
    assert corpus_of(list(reversed(renamed))).splits_hash() == digest
    assert corpus_of([rows[0] | {"split": "test"}, *rows[1:]]).splits_hash() != digest
    assert corpus_of(rows[1:]).splits_hash() != digest
