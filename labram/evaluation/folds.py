"""Folds of a task's windows: by subject as the catalogue says, by session, or by part of a session.

`within-session` and `cross-session` fit models to one person, as MOABB's evaluations of these names do. They tell how
well a model does for people of whom labelled recordings exist, and nothing about others.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from labram.corpus.catalogue import Corpus
from labram.errors import LabelError
from labram.metrics import Ids
from labram.recipe import TaskRecipe
from labram.training.data.labelled import LabelledWindows

PARTS = 5
"""Consecutive parts of a session, each of which is tested once."""


@dataclass(frozen=True)
class Fold:
    """Windows of one fold.

    Attributes:
        repetition: Repetition of the cross-validation, from 0.
        number: Number of the fold in it, from 0.
        train: Indices of the windows that models are fitted to.
        test: Indices of the windows that are predicted.
        inner: Groups of the training windows for inner folds: their subjects, sessions or parts, numbered from 0.
    """

    repetition: int
    number: int
    train: Ids
    test: Ids
    inner: Ids


def folds_of(corpus: Corpus, windows: LabelledWindows, dataset: str) -> list[Fold]:
    """Return the folds of a cross-validated dataset that have windows.

    Raises:
        LabelError: If there are none: no person has two sessions, or no session has two labels.
    """
    protocol = corpus.protocol(dataset)
    if protocol in ("within-session", "cross-session"):
        folds = list(_of_persons(corpus, windows, dataset, sessions=protocol == "cross-session"))
        missing = (
            "two sessions with equal kinds of labels" if protocol == "cross-session" else "a session of two labels"
        )
    else:
        folds, missing = list(_of_subjects(corpus, windows, dataset)), "subjects in two folds"
    if not folds:
        raise LabelError(
            f"no windows of {dataset} can be tested: {protocol} needs {missing}",
            field="split.kind",
            remedy="Choose another protocol, such as kfold",
        )
    return folds


def reductions(corpus: Corpus, windows: LabelledWindows, task: TaskRecipe) -> tuple[str, ...]:
    """Return what the folds of a task leave out, in sentences: folds without labels, classes, untested windows.

    Args:
        corpus: Cross-validated corpus.
        windows: All windows of the task.
        task: The task.
    """
    folds, notes = folds_of(corpus, windows, task.dataset), []
    tested = np.unique(np.concatenate([fold.test for fold in folds]))
    if untested := len(windows) - len(tested):
        people = len(set(windows.subject_keys) - set(windows.subject_keys[tested]))
        notes.append(
            f"{untested} of {len(windows)} windows are in no fold that can be tested, and not scored; of {people} "
            "subjects no window is."
        )
    rows = corpus.accepted(dataset=task.dataset)
    existing = {
        (repeat, fold) for each in rows["folds"] for repeat, fold in enumerate(each if each is not None else ())
    }
    if empty := len(existing - {(fold.repetition, fold.number) for fold in folds}):
        notes.append(f"{empty} of {len(existing)} folds have no subject with labels of the task, and are left out.")
    if task.kind != "regression":
        y = windows.y.astype(np.int64)
        for number, name in enumerate(task.classes):
            if without := sum(number in y[fold.test] and number not in y[fold.train] for fold in folds):
                notes.append(
                    f"In {without} of {len(folds)} folds no subject that models are fitted to has the class {name}: "
                    "its windows there cannot be predicted right."
                )
    return tuple(notes)


def _of_subjects(corpus: Corpus, windows: LabelledWindows, dataset: str) -> Iterator[Fold]:
    rows = corpus.accepted(dataset=dataset)
    folds = dict(zip(rows["subject_key"], rows["folds"], strict=True))
    of_windows = np.array([folds[key] for key in windows.subject_keys], np.int64)
    for repetition, numbers in enumerate(of_windows.T):
        for number in np.unique(numbers):
            train, test = np.flatnonzero(numbers != number), np.flatnonzero(numbers == number)
            if len(train):
                yield Fold(repetition, int(number), train, test, _numbered(windows.subject_keys[train]))


def _of_persons(corpus: Corpus, windows: LabelledWindows, dataset: str, *, sessions: bool) -> Iterator[Fold]:
    """Yield folds of windows of one person each: by session, or by part of one session."""
    rows = corpus.accepted(dataset=dataset)
    names = dict(zip(rows["recording_id"], rows["session"].fillna("") + rows["recording_id"], strict=True))
    session = np.array([names[recording] for recording in windows.recording_ids])
    persons = windows.subject_keys if sessions else session
    for person in dict.fromkeys(persons):
        ours = np.flatnonzero(persons == person)
        parts = session[ours] if sessions else _parts(ours, windows)
        for part in dict.fromkeys(parts):
            train, test = ours[parts != part], ours[parts == part]
            labels = windows.y[train].reshape(len(train), -1)
            if len(train) and len(np.unique(labels, axis=0)) > 1:
                number = list(dict.fromkeys(parts)).index(part)
                yield Fold(0, number, train, test, _numbered(parts[parts != part]))


def _parts(ours: Ids, windows: LabelledWindows) -> Ids:
    """Return the part of the session of each window, with each label spread over all parts in the order of time."""
    parts = np.zeros(len(ours), np.int64)
    starts = np.concatenate([group.starts for group in windows.groups])[ours]
    labels = _numbered([str(label) for label in windows.y[ours]]) if windows.y.ndim == 1 else np.zeros(len(ours), int)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        in_time = rows[np.argsort(starts[rows], kind="stable")]
        parts[in_time] = np.arange(len(rows)) * PARTS // len(rows)
    return parts


def _numbered(names: object) -> Ids:
    numbers, _ = pd.factorize(np.asarray(names, dtype=object))
    return np.asarray(numbers, np.int64)
