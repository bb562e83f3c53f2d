"""Folds of a cross-validation: every subject in one, tied subjects together, kinds of labels spread."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labram.corpus.folds import (
    all_folds,
    assign_folds,
    cross_validated,
    fold_corpus,
    require_classes,
    require_folds,
)
from labram.corpus.splits import apply_splits, assign_splits, require_common_channels, require_labels
from labram.errors import LabelError
from labram.recipe import SplitRecipe, TaskRecipe
from tests.corpus.test_splits import corpus_of, row, simple

KFOLD = SplitRecipe(kind="kfold", folds=5)
TASK = TaskRecipe(name="x", title="X", dataset="set", kind="binary", classes=("rest", "work"), metric="auroc")


def divided(rows, labels=(), recipe=KFOLD, datasets=("set",)):
    return cross_validated(corpus_of(rows, labels), recipe, 0, datasets)


@settings(max_examples=30, deadline=None)
@given(subjects=st.integers(2, 30), folds=st.integers(2, 8), seed=st.integers(0, 5))
def test_every_subject_is_tested_once_in_folds_of_equal_size(subjects: int, folds: int, seed: int) -> None:
    assigned = assign_folds(corpus_of(simple(subjects)), SplitRecipe(kind="kfold", folds=folds), seed)
    sizes = Counter(fold for (fold,) in assigned.values())
    assert sum(sizes.values()) == subjects
    assert len(sizes) == min(folds, subjects)
    assert max(sizes.values()) - min(sizes.values()) <= 1


def test_one_subject_is_left_out_at_a_time() -> None:
    assigned = assign_folds(corpus_of(simple(7)), SplitRecipe(kind="loso"), 0)
    assert sorted(fold for (fold,) in assigned.values()) == list(range(7))


def test_repetitions_have_other_folds_and_the_same_seed_has_the_same() -> None:
    recipe = SplitRecipe(kind="kfold", folds=5, repeats=2)
    assigned = assign_folds(corpus_of(simple(20)), recipe, 0)
    first, second = zip(*assigned.values(), strict=True)
    assert first != second
    assert assign_folds(corpus_of(simple(20)), recipe, 0) == assigned
    assert assign_folds(corpus_of(simple(20)), recipe, 1) != assigned


def test_subjects_who_share_a_recording_are_in_one_fold() -> None:
    rows = [*simple(9), row("twin-a", "shared"), row("twin-b", "shared")]
    assigned = assign_folds(corpus_of(rows), KFOLD, 0)
    assert assigned["twin-a"] == assigned["twin-b"]


def test_classes_that_do_not_vary_within_subjects_are_spread_over_the_folds() -> None:
    rows = [row(f"s{n}", f"content {n}") for n in range(20)]
    corpus = corpus_of(rows, [(n, "abnormal", float(n < 10)) for n in range(20)])
    by_fold = defaultdict(list)
    for subject, (fold,) in assign_folds(corpus, KFOLD, 0).items():
        by_fold[fold].append(int(subject[1:]) < 10)
    assert [sum(labels) for labels in by_fold.values()] == [2] * 5


def test_pre_training_uses_other_datasets_or_all_subjects_as_the_recipe_says() -> None:
    rows = [*simple(6, "task"), *simple(6, "other")]
    apart = divided(rows, datasets=("task",)).catalogue
    assert set(apart.loc[apart["dataset"] == "task", "split"]) == {"test"}
    assert set(apart.loc[apart["dataset"] == "other", "split"]) == {"train", "validation"}
    recipe = KFOLD.model_copy(update={"pretraining": "all"})
    everyone = divided(rows, recipe=recipe, datasets=("task",)).catalogue
    assert set(everyone["split"]) == {"train", "validation"}
    assert set(apart["protocol"]) == {"kfold"}


def test_folds_survive_the_file_and_quarantined_recordings_have_none(tmp_path) -> None:
    rows = [*simple(4), row("bad", "bad", verdict="quarantined")]
    corpus = divided(rows)
    corpus.save(tmp_path)
    loaded = type(corpus).load(tmp_path)
    assert loaded.catalogue["folds"].tolist() == corpus.catalogue["folds"].tolist()
    assert loaded.catalogue.loc[loaded.catalogue["subject_key"] == "bad", "folds"].isna().all()
    assert loaded.protocol("set") == "kfold"
    assert len(loaded.tested("set")) == 8


def test_labels_of_one_subject_cannot_be_cross_validated() -> None:
    rows = simple(5)
    with pytest.raises(LabelError, match="labels of 1 subject in one fold"):
        require_folds(divided(rows, [(0, "x", 0.0), (1, "x", 1.0)]), "x", "set")
    require_folds(divided(rows, [(0, "x", 0.0), (2, "x", 1.0)]), "x", "set")


@pytest.mark.parametrize(
    ("subjects", "few", "enough"), [(10, "reject", False), (10, "allow", True), (30, "reject", True)]
)
def test_a_hold_out_of_few_test_subjects_is_an_error_unless_the_recipe_allows_it(subjects, few, enough) -> None:
    recipe = SplitRecipe(few_subjects=few)
    corpus = corpus_of(simple(subjects), [(2 * n, "x", float(n % 2)) for n in range(subjects)])
    corpus = apply_splits(corpus, assign_splits(corpus, recipe, 0))
    if enough:
        return require_labels(corpus, "x", "set", recipe)
    with pytest.raises(LabelError, match=r"tested on 2 of 10 subjects.*") as error:
        require_labels(corpus, "x", "set", recipe)
    assert "split.kind=kfold" in str(error.value)
    return None


def test_the_corpus_of_a_fold_is_a_hold_out_whose_epoch_other_subjects_select() -> None:
    corpus = divided([*simple(10, "set"), *simple(3, "other")])
    assert all_folds(corpus, "set") == [(0, number) for number in range(5)]
    tested = []
    for fold in all_folds(corpus, "set"):
        part = fold_corpus(corpus, "set", fold)
        assert part.protocol("set") == ""
        splits = part.accepted(dataset="set").groupby("split")["subject_key"].agg(set)
        assert {name: len(subjects) for name, subjects in splits.items()} == {"test": 2, "train": 6, "validation": 2}
        assert set(part.accepted(dataset="other")["split"]) == {""}
        tested += sorted(splits["test"])
    assert sorted(tested) == sorted(set(corpus.accepted(dataset="set")["subject_key"]))
    everyone = fold_corpus(corpus, "set", None).accepted(dataset="set").drop_duplicates("subject_key")
    assert everyone["split"].value_counts().to_dict() == {"train": 8, "validation": 2}


def test_strategies_that_train_need_every_class_and_validation_labels_in_every_fold() -> None:
    rows = simple(8)  # two recordings of each of eight subjects
    both = [(2 * n + part, "x", float(part)) for n in range(8) for part in (0, 1)]
    require_classes(divided(rows, both), TASK)
    lonely = [(2 * n, "x", 0.0) for n in range(8)] + [(1, "x", 1.0)]
    with pytest.raises(LabelError, match=r"no training subject with the class work is left in fold \d"):
        require_classes(divided(rows, lonely), TASK)
    halves = SplitRecipe(kind="kfold", folds=2)
    with pytest.raises(LabelError, match=r"no labels of validation subjects is left in fold 0") as error:
        require_classes(divided(rows, both, halves), TASK)
    assert "adaptation.strategy: probe" in str(error.value)


def test_recordings_without_a_common_channel_are_an_error_before_training() -> None:
    rows = [row(f"s{n}", f"content {n}") | {"montage": ["C3", "CZ"] if n else ["O1", "O2"]} for n in range(8)]
    labels = [(n, "x", float(n % 2)) for n in range(8)]
    with pytest.raises(LabelError, match=r"no channel is common .*2 channels C3…CZ, 2 channels O1…O2"):
        require_common_channels(corpus_of(rows, labels), "x", "set")
    rows[0]["montage"] = ["CZ"]
    require_common_channels(corpus_of(rows, labels), "x", "set")
