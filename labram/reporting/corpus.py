"""The chapters about what went in: the accepted recordings, and those refused."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from labram.corpus.catalogue import SPLITS, Corpus
from labram.errors import CorpusError
from labram.recipe import TaskRecipe
from labram.reporting import plots, quality
from labram.reporting.elements import Chapter, Picture, Table, count, number, picture
from labram.reporting.run_record import RunRecord


def chapters(record: RunRecord) -> list[Chapter]:
    """What went in, and what was refused."""
    try:
        corpus = Corpus.load(record.corpus) if record.corpus else None
    except CorpusError:
        corpus = None
    if corpus is None:
        missing = ("The run ended before the recordings were catalogued: nothing is known about what went in.",)
        return [Chapter("corpus", "Corpus", missing)]
    refused = quality.quarantine(corpus)
    refused = replace(refused, tables=(*refused.tables, *quality.rules_asked(record.corpus)))
    return [_accepted(corpus, record.recipe.tasks), refused]


def _accepted(corpus: Corpus, tasks: Sequence[TaskRecipe]) -> Chapter:
    everything, rows = corpus.catalogue, corpus.accepted()
    refused = len(corpus.quarantined())
    montages = len({tuple(montage) for montage in rows["montage"]})
    in_words = (
        f"{count(len(everything), 'recording')} went in: {len(rows)} accepted and {refused} quarantined. "
        "Subjects are split between training, validation and test; no subject is in two of them."
    )
    tiles = (
        (str(len(everything)), "recordings in"),
        (str(len(rows)), "accepted"),
        (str(refused), "quarantined"),
        (number(rows["seconds"].sum() / 3600, 2), "hours accepted"),
        (str(rows["subject_key"].nunique()), "subjects"),
        (str(montages), "montage" if montages == 1 else "montages"),
    )
    if rows.empty:
        return Chapter("corpus", "Corpus", (in_words, "Nothing was accepted, so nothing could be trained."), tiles)
    tables = (_datasets(everything, rows), _montages(rows), *_labels(corpus, tasks), *_warnings(rows))
    return Chapter("corpus", "Corpus", (in_words,), tiles, (_hours(rows),), tables)


def _hours(rows: pd.DataFrame) -> Picture:
    datasets = sorted(rows["dataset"].unique())
    sums = rows.groupby(["split", "dataset"])["seconds"].sum() / 3600
    by_split: dict[str, list[float]] = {
        split: [float(sums.get((split, name), 0.0)) for name in datasets] for split in SPLITS
    }
    return picture(
        plots.hours(datasets, by_split),
        name="hours",
        alt="Hours of accepted recordings by dataset: "
        + ", ".join(f"{name} {sum(by_split[s][i] for s in SPLITS):.2f}" for i, name in enumerate(datasets)),
        caption="Hours of accepted recordings in each dataset, by the split that their subjects are in.",
    )


def _datasets(everything: pd.DataFrame, rows: pd.DataFrame) -> Table:
    body = []
    for name, part in everything.groupby("dataset"):
        taken = rows[rows["dataset"] == name]
        body.append(
            (
                str(name),
                f"{len(taken)} of {len(part)}",
                *(_subjects(taken, split) for split in SPLITS),
                number(taken["seconds"].sum() / 3600, 2),
                _values(taken["rate_hz"]),
                _values(taken["mains_hz"]),
                _values(taken["format"]),
                _values(taken["reference"]),
                _values(taken["unit_scale"]),
            )
        )
    head = (
        "dataset", "accepted", "train", "valid.", "test", "hours", "rate (Hz)", "mains (Hz)", "format", "reference",
        "unit factor",
    )  # fmt: skip
    note = (
        "Train, validation and test count subjects. "
        "The unit factor is what the adapter multiplies the file’s values by."
    )
    return Table("Datasets", head, tuple(body), frozenset({1, 2, 3, 4, 5, 6, 7, 10}), note=note)


def _subjects(rows: pd.DataFrame, split: str) -> str:
    return str(rows.loc[rows["split"] == split, "subject_key"].nunique())


def _values(column: pd.Series) -> str:
    """The distinct values of a column, the commonest first."""
    common = [value for value, _ in Counter(column.dropna()).most_common()]
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in common) or "–"


def _montages(rows: pd.DataFrame) -> Table:
    names = rows["montage"].map(tuple)
    body = [
        (
            str(len(montage)),
            " ".join(montage),
            _values(part["dataset"]),
            str(len(part)),
            number(part["seconds"].sum() / 3600, 2),
        )
        for montage, part in rows.groupby(names)
    ]
    body.sort(key=lambda row: -float(row[4]))
    head = ("channels", "names", "datasets", "recordings", "hours")
    return Table("Montages", head, tuple(body), frozenset({0, 3, 4}), folded=len(body) > quality.MOST_ROWS_UNFOLDED)


def _labels(corpus: Corpus, tasks: Sequence[TaskRecipe]) -> list[Table]:
    body = []
    for task in tasks:
        for split in SPLITS:
            found = corpus.intervals(task.name, split, task.dataset)
            if len(found):
                body.append(
                    (
                        task.name,
                        split,
                        str(found["subject_key"].nunique()),
                        str(found["recording_id"].nunique()),
                        str(len(found)),
                        number(found["seconds"].sum() / 60, 1),
                        _balance(found["label"], task),
                    )
                )
    head = ("task", "split", "subjects", "recordings", "intervals", "minutes", "labels")
    return [Table("Labels", head, tuple(body), frozenset({2, 3, 4, 5}))] if body else []


def _balance(labels: pd.Series, task: TaskRecipe) -> str:
    """How the labels are distributed: intervals a class, or range and mean of each target."""
    if task.kind == "regression":
        table = pd.DataFrame(labels.tolist(), columns=list(task.classes)[: len(labels.iloc[0])])
        return "; ".join(f"{name} {part.min():.3g} to {part.max():.3g}" for name, part in table.items())
    counts = Counter(int(label[0]) for label in labels)
    return ", ".join(f"{name} {counts.get(index, 0)}" for index, name in enumerate(task.classes))


def _warnings(rows: pd.DataFrame) -> list[Table]:
    """What was put up with in accepted recordings, and labels left out; codes of those end in ``=count``."""
    recordings: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    for row in rows.to_dict("records"):
        for code in row["warnings"] or ():
            reason, _, amount = str(code).partition("=")
            if amount.isdigit():
                labels[reason.removeprefix("excluded_")] += int(amount)
            else:
                recordings[reason] += 1
    note = "These recordings are used all the same."
    return [
        *_tally("Warnings", ("warning", "recordings"), recordings, note),
        *_tally("Labels left out", ("reason", "labels"), labels, ""),
    ]


def _tally(title: str, head: tuple[str, str], counts: Counter[str], note: str) -> list[Table]:
    body = tuple((code.replace("_", " "), str(amount)) for code, amount in counts.most_common())
    return [Table(title, head, body, frozenset({1}), note=note)] if body else []
