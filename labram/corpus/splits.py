"""Train, validation and test split by subject; every stage of a run uses the same one.

Subjects are ordered by a hash of their recordings' content and the seed. The split depends neither on file names nor on
the subject key. Subjects of one stated group, subjects who share a recording, by its bytes or its signal, or whom
evidence ties together (see `labram.corpus.evidence`), are in the same split.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from labram.corpus.catalogue import ACCEPTED, SPLITS, Corpus, Split
from labram.corpus.evidence import find_ties
from labram.errors import CorpusError, LabelError, Reason
from labram.recipe import FEWEST_TEST_SUBJECTS, SplitRecipe

MIN_SUBJECTS = len(SPLITS)
_SHARED = {reason.value for reason in Reason if reason.value.startswith("duplicate_")}


@dataclass(frozen=True)
class SubjectGroup:
    """Subjects that must be in the same split, and in the same fold.

    Attributes:
        subjects: Subject keys.
        dataset: Dataset of the first subject.
        order: Sort key, a hash.
        stratum: Kinds of labels that they have; each stratum is spread over the splits.
        author_split: Split that the dataset's authors assigned to one of them. Test precedes validation precedes train.
    """

    subjects: tuple[str, ...]
    dataset: str
    order: str
    stratum: str
    author_split: Split | None


def require_labels(corpus: Corpus, task: str, dataset: str, split: SplitRecipe | Split) -> None:
    """Check that a task has labels in every split that has a share, and enough test subjects.

    Raises:
        LabelError: If it has none in one of them, or labels of fewer test subjects than the recipe allows.
        CorpusError: If subjects of recordings with labels are guessed: one might be in two splits.
    """
    guessed = set(corpus.guessed(dataset)["recording_id"]) & set(
        corpus.intervals(task, dataset=dataset)["recording_id"]
    )
    if guessed:
        raise CorpusError(
            f"the subjects of {len(guessed)} recordings of task {task!r} are guessed from names",
            field="corpus.subject",
            remedy=r"State them in the recipe by a pattern of the recordings' paths, such as (?P<subject>P\d+)/",
        )
    labelled = corpus.intervals(task, dataset=dataset)
    if labelled.empty:
        raise LabelError(
            f"the task {task} has no labels in the dataset {dataset}",
            field=f"tasks.{task}",
            remedy="Check that the dataset has its label files, with their original names, or remove the task from the "
            "recipe",
        )
    if isinstance(split, SplitRecipe) and split.cross_validated:
        return
    missing = [name for name in _used_splits(split) if name not in set(labelled["split"])]
    if missing:
        raise LabelError(
            f"the task {task} has labels of too few subjects: none is left for {', '.join(missing)}",
            field=f"tasks.{task}",
            remedy=f"Add subjects to the dataset {dataset}: at least {MIN_SUBJECTS} must have labels",
        )
    if isinstance(split, SplitRecipe) and split.test > 0 and split.few_subjects == "reject":
        _require_test_subjects(labelled, task)


def require_common_channels(corpus: Corpus, task: str, dataset: str) -> None:
    """Check that the montages of a task's recordings share a channel, as baselines and probes require.

    Raises:
        LabelError: If they share none.
    """
    montages = [tuple(names) for names in corpus.intervals(task, dataset=dataset)["montage"]]
    if montages and not set(montages[0]).intersection(*montages):
        counted = ", ".join(sorted({f"{len(names)} channels {names[0]}…{names[-1]}" for names in montages}))
        raise LabelError(
            f"no channel is common to all recordings with labels of the task {task} ({counted}), as baselines and "
            "probes require",
            field=f"tasks.{task}",
            remedy=f"Leave the recordings of one montage out of the dataset {dataset}, or name their channels alike",
        )


def _require_test_subjects(labelled: pd.DataFrame, task: str) -> None:
    total = labelled["subject_key"].nunique()
    count = labelled.loc[labelled["split"] == "test", "subject_key"].nunique()
    if count < FEWEST_TEST_SUBJECTS:
        raise LabelError(
            f"the task {task} would be tested on {count} of {total} subjects: with fewer than {FEWEST_TEST_SUBJECTS} "
            "no difference is significant",
            field="split.kind",
            remedy="Set split.kind: kfold, which tests every subject once (--set split.kind=kfold); or set "
            "split.few_subjects: allow",
        )


def _used_splits(split: SplitRecipe | Split) -> tuple[Split, ...]:
    if not isinstance(split, SplitRecipe):
        return (split,)
    shares = {"train": 1.0, "validation": split.validation, "test": split.test}
    return tuple(name for name in SPLITS if shares[name] > 0)


def assign_splits(corpus: Corpus, recipe: SplitRecipe, seed: int) -> dict[str, Split]:
    """Assign a split to every subject with accepted recordings.

    The split is stratified within each dataset by kind of label: the tasks, and the class if a subject has only one.
    From three subjects on, each split with a non-zero share gets at least one; fewer are all for training. Splits that
    the dataset's authors assigned (`labram.datasets.base.RecordingFile.split`) are kept, and no other subjects are
    added to a held-out split of theirs.

    Args:
        corpus: Quality-checked recordings.
        recipe: Shares of validation and test subjects.
        seed: Another seed yields another split.

    Returns:
        Split by subject key.
    """
    by_dataset: dict[str, list[SubjectGroup]] = defaultdict(list)
    for group in subject_groups(corpus, seed):
        by_dataset[group.dataset].append(group)
    splits: dict[str, Split] = {}
    for groups in by_dataset.values():
        assigned = {group.author_split for group in groups}
        shares = SplitRecipe(
            validation=0.0 if "validation" in assigned else recipe.validation,
            test=0.0 if "test" in assigned else recipe.test,
        )
        for group in groups:
            if group.author_split:
                splits |= dict.fromkeys(group.subjects, group.author_split)
        for stratum in _strata([group for group in groups if not group.author_split]):
            for group, split in zip(stratum, _partition(len(stratum), shares), strict=True):
                splits |= dict.fromkeys(group.subjects, split)
    return splits


def _partition(count: int, recipe: SplitRecipe) -> list[Split]:
    """Return splits for `count` groups in order: test first, then validation, then train."""
    if count < MIN_SUBJECTS:
        return ["train"] * count
    test, validation = (max(1, round(share * count)) if share else 0 for share in (recipe.test, recipe.validation))
    test = min(test, count - 2)
    validation = min(validation, count - test - 1)
    counts: dict[Split, int] = {"test": test, "validation": validation, "train": count - test - validation}
    return [split for split, number in counts.items() for _ in range(number)]


def _strata(groups: Sequence[SubjectGroup]) -> list[list[SubjectGroup]]:
    """Return the groups by stratum, each in order; strata that are too small to be split are merged into one."""
    strata: dict[str, list[SubjectGroup]] = defaultdict(list)
    ordered = sorted(groups, key=lambda group: group.order)
    for group in ordered:
        strata[group.stratum].append(group)
    large = [stratum for _, stratum in sorted(strata.items()) if len(stratum) >= MIN_SUBJECTS]
    small = [group for group in ordered if len(strata[group.stratum]) < MIN_SUBJECTS]
    return [*large, small]


def subject_groups(corpus: Corpus, seed: int) -> list[SubjectGroup]:
    """Return the subjects with accepted recordings, in groups that must not be divided."""
    rows = corpus.accepted()
    roots = _connected_subjects(corpus.catalogue)
    strata = _label_kinds(corpus)
    members: dict[str, list[str]] = defaultdict(list)
    for subject in sorted(set(rows["subject_key"])):
        members[roots.get(subject, subject)].append(subject)
    hashes = rows.groupby("subject_key")["content_hash"].min()
    dataset = rows.groupby("subject_key")["dataset"].first()
    author_splits = rows.groupby("subject_key")["split"].agg(set)
    groups = []
    for subjects in members.values():
        # Ordered by content: the secret subject key must not decide which dataset comes first.
        ordered = sorted(subjects, key=lambda subject: str(hashes[subject]))
        first = ordered[0]
        order = hashlib.sha256(f"{seed} {dataset[first]} {hashes[first]}".encode()).hexdigest()
        stratum = " ".join(sorted({strata.get(subject, "") for subject in subjects}))
        assigned = set().union(*(author_splits[subject] for subject in subjects))
        author_split = next((split for split in reversed(SPLITS) if split in assigned), None)
        groups.append(SubjectGroup(tuple(ordered), str(dataset[first]), order, stratum, author_split))
    return groups


def _connected_subjects(catalogue: pd.DataFrame) -> dict[str, str]:
    """Return, for each subject with a group, content or tie in common with another, a representative of them all."""
    shared = catalogue[
        (catalogue["verdict"] == ACCEPTED) | catalogue["reasons"].map(lambda reasons: bool(_SHARED & set(reasons)))
    ]
    parent: dict[str, str] = {}

    def root(subject: str) -> str:
        while parent.setdefault(subject, subject) != subject:
            subject = parent[subject]
        return subject

    groups = [
        sorted(set(subjects))
        for column in ("content_hash", "signal_hash", "group_key")
        for _, subjects in shared[shared[column].fillna("") != ""].groupby(column)["subject_key"]
    ]
    groups += [sorted(tie.subjects) for tie in find_ties(catalogue[catalogue["verdict"] == ACCEPTED]) if tie.binding]
    for first, *others in groups:
        for other in others:
            parent[root(other)] = root(first)
    return {subject: root(subject) for subject in list(parent)}


def _label_kinds(corpus: Corpus) -> dict[str, str]:
    """Return each subject's tasks, with the class if all labels of the task are equal."""
    labels = corpus.labels.merge(corpus.accepted()[["recording_id", "subject_key"]], on="recording_id")
    kinds: dict[str, list[str]] = defaultdict(list)
    for (subject, task), values in labels.groupby(["subject_key", "task"])["label"]:
        kinds[str(subject)].append(_kind(str(task), values))
    return {subject: " ".join(sorted(parts)) for subject, parts in kinds.items()}


def _kind(task: str, values: Iterable[Sequence[float]]) -> str:
    distinct = {tuple(value) for value in values}
    return f"{task}={next(iter(distinct))}" if len(distinct) == 1 else task


def apply_splits(corpus: Corpus, splits: Mapping[str, Split]) -> Corpus:
    """Return the corpus with the split of each accepted recording filled in."""
    catalogue = corpus.catalogue.copy()
    accepted = catalogue["verdict"] == ACCEPTED
    catalogue["split"] = catalogue["subject_key"].map(splits).where(accepted, "")
    return Corpus(catalogue, corpus.labels)
