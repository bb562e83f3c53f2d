"""Folds of a cross-validation over subjects: within each dataset, grouped and stratified.

Subjects who are tied together (see `labram.corpus.splits`) are in the same fold. Each kind of label is spread over the
folds. The folds depend on content and seed only, as splits do.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Sequence

import pandas as pd

from labram.corpus.catalogue import ACCEPTED, Corpus, Split
from labram.corpus.splits import SubjectGroup, assign_splits, subject_groups
from labram.errors import LabelError
from labram.recipe import SplitRecipe, TaskRecipe


def cross_validated(corpus: Corpus, recipe: SplitRecipe, seed: int, datasets: Collection[str]) -> Corpus:
    """Return the corpus with protocol and folds of every subject, and the splits of pre-training.

    Args:
        corpus: Quality-checked recordings.
        recipe: Protocol, number of folds, and what pre-training is done on.
        seed: Another seed yields other folds.
        datasets: Datasets with tasks. If pre-training is done on the others, all their subjects are in the test split.
    """
    folds = assign_folds(corpus, recipe, seed)
    splits = assign_splits(corpus, recipe.model_copy(update={"test": 0.0}), seed)
    # Splits that the authors of a dataset assigned to tests are for hold-outs: here every subject is tested.
    splits = {subject: "train" if split == "test" else split for subject, split in splits.items()}
    if recipe.pretraining == "others":
        splits |= _left_out(corpus, seed, datasets)
    catalogue = corpus.catalogue.copy()
    accepted = catalogue["verdict"] == ACCEPTED
    catalogue["split"] = catalogue["subject_key"].map(splits).where(accepted, "")
    catalogue["protocol"] = pd.Series(recipe.kind, catalogue.index, dtype=object).where(accepted, "")
    by_subject = recipe.kind in ("kfold", "loso")
    catalogue["folds"] = catalogue["subject_key"].map(folds).where(accepted & by_subject, None)
    return Corpus(catalogue, corpus.labels)


def assign_folds(corpus: Corpus, recipe: SplitRecipe, seed: int) -> dict[str, list[int]]:
    """Return the fold of every subject with accepted recordings, one for each repetition, numbered from 0."""
    by_dataset: dict[str, list[SubjectGroup]] = defaultdict(list)
    for group in subject_groups(corpus, seed):
        by_dataset[group.dataset].append(group)
    folds: dict[str, list[int]] = defaultdict(list)
    for repetition in range(recipe.repeats):
        for groups in by_dataset.values():
            count = len(groups) if recipe.kind == "loso" else min(recipe.folds, len(groups))
            for number, group in enumerate(_ordered(groups, repetition)):
                for subject in group.subjects:
                    folds[subject].append(number % count)
    return dict(folds)


def _ordered(groups: Sequence[SubjectGroup], repetition: int) -> list[SubjectGroup]:
    """Return the groups so that dealing them out one by one spreads every kind of label over the folds."""

    def shuffled(group: SubjectGroup) -> str:
        return hashlib.sha256(f"{repetition} {group.order}".encode()).hexdigest() if repetition else group.order

    return sorted(groups, key=lambda group: (group.stratum, shuffled(group)))


def _left_out(corpus: Corpus, seed: int, datasets: Collection[str]) -> dict[str, Split]:
    rows = corpus.accepted()
    tested = set(rows.loc[rows["dataset"].isin(set(datasets)), "subject_key"])
    groups = (group for group in subject_groups(corpus, seed) if tested & set(group.subjects))
    return {subject: "test" for group in groups for subject in group.subjects}


def fold_corpus(corpus: Corpus, dataset: str, fold: tuple[int, int] | None) -> Corpus:
    """Return a corpus with the hold-out split of one fold, for strategies that train.

    Its subjects are for tests, those of the next fold select the epoch, and all others are for training.

    Args:
        corpus: Cross-validated corpus.
        dataset: The task's dataset; other datasets are left out of the splits.
        fold: Repetition and number of the fold; None: no subject is tested, and the first fold selects the epoch.
    """
    catalogue = corpus.catalogue.copy()
    ours = (catalogue["dataset"] == dataset) & (catalogue["verdict"] == ACCEPTED)
    repetition, number = fold or (0, -1)
    numbers = catalogue["folds"][ours].map(lambda folds: folds[repetition])
    count = int(numbers.max()) + 1
    chosen = pd.Series("train", numbers.index, dtype=object)
    if count > 2 or fold is None:
        chosen[numbers == (number + 1) % count] = "validation"
    chosen[numbers == number] = "test"
    catalogue["split"] = chosen.reindex(catalogue.index, fill_value="")
    catalogue["protocol"], catalogue["folds"] = "", None
    return Corpus(catalogue, corpus.labels)


def all_folds(corpus: Corpus, dataset: str) -> list[tuple[int, int]]:
    """Return repetition and number of every fold of a dataset's subjects."""
    folds = corpus.accepted(dataset=dataset)["folds"].tolist()
    return sorted({(repetition, number) for each in folds for repetition, number in enumerate(each)})


def require_folds(corpus: Corpus, task: str, dataset: str) -> None:
    """Check that the labels of a task are in two folds of subjects at least.

    Raises:
        LabelError: If they are not: there is one subject, or the subjects are tied together.
    """
    if corpus.protocol(dataset) not in ("kfold", "loso"):
        return
    found = corpus.intervals(task, dataset=dataset)
    folds = {tuple(folds) for folds in found["folds"]}
    if len(folds) < 2:
        subjects = found["subject_key"].nunique()
        raise LabelError(
            f"the task {task} has labels of {subjects} subject{'s' if subjects > 1 else ''} in one fold: no model can "
            "be tested on a subject that it has not seen",
            field=f"tasks.{task}",
            remedy=f"Add subjects to the dataset {dataset}",
        )


def require_classes(corpus: Corpus, task: TaskRecipe) -> None:
    """Check, for a strategy that trains, that every fold has all classes for training and labels to select an epoch.

    Raises:
        LabelError: If a fold lacks a class, or labels of validation subjects; names the fold.
    """
    for fold in (*all_folds(corpus, task.dataset), None):
        found = fold_corpus(corpus, task.dataset, fold).intervals(task.name, dataset=task.dataset)
        labels = {split: {tuple(label) for label in rows["label"]} for split, rows in found.groupby("split")}
        if "test" not in labels and fold is not None:
            continue  # no subject of this fold has labels: it is left out
        missing = [] if task.kind == "regression" else _absent(labels.get("train", set()), task)
        if missing or not labels.get("train") or not labels.get("validation"):
            what = f"no training subject with the class {missing[0]}" if missing else "no labels of validation subjects"
            raise LabelError(
                f"{what if labels.get('train') else 'no training subject'} is left in "
                f"{'the training of the registered model' if fold is None else f'fold {fold[1]}'}",
                field=f"tasks.{task.name}",
                remedy="Set fewer split.folds, add subjects, or set adaptation.strategy: probe, which needs no "
                "validation subjects",
            )


def _absent(labels: Collection[tuple[float, ...]], task: TaskRecipe) -> list[str]:
    return [name for number, name in enumerate(task.classes) if (float(number),) not in labels]
