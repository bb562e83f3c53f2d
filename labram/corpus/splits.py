"""Which subjects are trained on and which are held out: by subject, the same for every stage, for good.

Subjects are put in order by a hash of their recordings' content and the seed, so neither file names nor the key of
subject names have a say. Subjects who share a recording, its bytes or its signal, are one as far as the split goes.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from labram.corpus.catalogue import ACCEPTED, SPLITS, Corpus, Split
from labram.errors import Reason
from labram.recipe import SplitRecipe

LEAST_SUBJECTS = len(SPLITS)
_SHARED = {reason.value for reason in Reason if reason.value.startswith("duplicate_")}


@dataclass(frozen=True)
class _Group:
    """Subjects that must stay together.

    Attributes:
        subjects: Their keys.
        dataset: The dataset of the first.
        order: Hash that decides the place in line.
        stratum: What is known of their labels; groups alike are spread over the splits.
        stated: The part that the dataset's authors put one of them into: of several, the one that is held out most.
    """

    subjects: tuple[str, ...]
    dataset: str
    order: str
    stratum: str
    stated: Split | None


def assign_splits(corpus: Corpus, recipe: SplitRecipe, seed: int) -> dict[str, Split]:
    """Split of every subject that has accepted recordings.

    In each dataset, subjects with the same kinds of labels (which tasks, and which class where a subject has one
    only) are shared out together, so that small sets have all kinds in all splits. Of three subjects and more, each
    split gets at least one where its share is not zero; with fewer, all are for training. Where the dataset's authors
    have put subjects into parts (`labram.datasets.base.RecordingFile.split`), those stay there, and no others are
    added to a held-out part that there is.

    Args:
        corpus: Judged recordings.
        recipe: Shares that are held out.
        seed: Another seed gives another split.

    Returns:
        By subject key.
    """
    by_dataset: dict[str, list[_Group]] = defaultdict(list)
    for group in _groups(corpus, seed):
        by_dataset[group.dataset].append(group)
    splits: dict[str, Split] = {}
    for groups in by_dataset.values():
        stated = {group.stated for group in groups}
        left = SplitRecipe(
            validation=0.0 if "validation" in stated else recipe.validation,
            test=0.0 if "test" in stated else recipe.test,
        )
        for group in groups:
            if group.stated:
                splits |= dict.fromkeys(group.subjects, group.stated)
        for stratum in _strata([group for group in groups if not group.stated]):
            for group, split in zip(stratum, _share_out(len(stratum), left), strict=True):
                splits |= dict.fromkeys(group.subjects, split)
    return splits


def _share_out(count: int, recipe: SplitRecipe) -> list[Split]:
    """Splits for `count` groups in their order: the first are for testing, the next for validation."""
    if count < LEAST_SUBJECTS:
        return ["train"] * count
    test, validation = (max(1, round(share * count)) if share else 0 for share in (recipe.test, recipe.validation))
    test = min(test, count - 2)
    validation = min(validation, count - test - 1)
    counts: dict[Split, int] = {"test": test, "validation": validation, "train": count - test - validation}
    return [split for split, number in counts.items() for _ in range(number)]


def _strata(groups: Sequence[_Group]) -> list[list[_Group]]:
    """Groups by stratum, each in line. Strata too small to be shared out are shared out together."""
    strata: dict[str, list[_Group]] = defaultdict(list)
    for group in sorted(groups, key=lambda group: group.order):
        strata[group.stratum].append(group)
    large = [stratum for _, stratum in sorted(strata.items()) if len(stratum) >= LEAST_SUBJECTS]
    small = [
        group for group in sorted(groups, key=lambda group: group.order) if len(strata[group.stratum]) < LEAST_SUBJECTS
    ]
    return [*large, small]


def _groups(corpus: Corpus, seed: int) -> list[_Group]:
    rows = corpus.accepted()
    ties = _tied(corpus.catalogue)
    strata = _kinds_of_labels(corpus)
    members: dict[str, list[str]] = defaultdict(list)
    for subject in sorted(set(rows["subject_key"])):
        members[ties.get(subject, subject)].append(subject)
    hashes = rows.groupby("subject_key")["content_hash"].min()
    dataset = rows.groupby("subject_key")["dataset"].first()
    parts = rows.groupby("subject_key")["split"].agg(set)
    groups = []
    for subjects in members.values():
        # In order of content, not of key: the key of subject names must not decide which dataset comes first.
        ordered = sorted(subjects, key=lambda subject: str(hashes[subject]))
        first = ordered[0]
        order = hashlib.sha256(f"{seed} {dataset[first]} {hashes[first]}".encode()).hexdigest()
        stratum = " ".join(sorted({strata.get(subject, "") for subject in subjects}))
        found = set().union(*(parts[subject] for subject in subjects))
        stated = next((split for split in reversed(SPLITS) if split in found), None)
        groups.append(_Group(tuple(ordered), str(dataset[first]), order, stratum, stated))
    return groups


def _tied(catalogue: pd.DataFrame) -> dict[str, str]:
    """For each subject who shares content with another, one name for all who are so tied."""
    shared = catalogue[
        (catalogue["verdict"] == ACCEPTED) | catalogue["reasons"].map(lambda reasons: bool(_SHARED & set(reasons)))
    ]
    parent: dict[str, str] = {}

    def root(subject: str) -> str:
        while parent.setdefault(subject, subject) != subject:
            subject = parent[subject]
        return subject

    for column in ("content_hash", "signal_hash"):
        for _, subjects in shared[shared[column].fillna("") != ""].groupby(column)["subject_key"]:
            first, *others = sorted(set(subjects))
            for other in others:
                parent[root(other)] = root(first)
    return {subject: root(subject) for subject in list(parent)}


def _kinds_of_labels(corpus: Corpus) -> dict[str, str]:
    """For each subject, the tasks it has labels for, with the class where all its labels of the task are one."""
    labels = corpus.labels.merge(corpus.accepted()[["recording_id", "subject_key"]], on="recording_id")
    kinds: dict[str, list[str]] = defaultdict(list)
    for (subject, task), values in labels.groupby(["subject_key", "task"])["label"]:
        kinds[str(subject)].append(_kind(str(task), values))
    return {subject: " ".join(sorted(parts)) for subject, parts in kinds.items()}


def _kind(task: str, values: Iterable[Sequence[float]]) -> str:
    different = {tuple(value) for value in values}
    return f"{task}={next(iter(different))}" if len(different) == 1 else task


def apply_splits(corpus: Corpus, splits: Mapping[str, Split]) -> Corpus:
    """The corpus with the split of each accepted recording filled in."""
    catalogue = corpus.catalogue.copy()
    accepted = catalogue["verdict"] == ACCEPTED
    catalogue["split"] = catalogue["subject_key"].map(splits).where(accepted, "")
    return Corpus(catalogue, corpus.labels)
