"""Report sections on the corpus: accepted and quarantined recordings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from labram.corpus.catalogue import SPLITS, Corpus
from labram.corpus.evidence import find_ties
from labram.errors import CorpusError
from labram.recipe import TaskRecipe
from labram.reporting import plots, quality
from labram.reporting.elements import EmbeddedFigure, ReportSection, Table, count, embed_figure, number
from labram.reporting.run_record import RunRecord


def sections(record: RunRecord) -> list[ReportSection]:
    """Return the sections on accepted and on quarantined recordings."""
    try:
        corpus = Corpus.load(record.corpus) if record.corpus else None
    except CorpusError:
        corpus = None
    if corpus is None:
        missing = ("The run ended before the recordings were catalogued, so the corpus is unknown.",)
        return [ReportSection("corpus", "Corpus", missing)]
    quarantine = quality.quarantine(corpus)
    quarantine = replace(quarantine, tables=(*quarantine.tables, *quality.rules_table(record.corpus)))
    return [_accepted(corpus, record.recipe.tasks), quarantine]


def _accepted(corpus: Corpus, tasks: Sequence[TaskRecipe]) -> ReportSection:
    everything, rows = corpus.catalogue, corpus.accepted()
    quarantined = len(corpus.quarantined())
    montages = len({tuple(montage) for montage in rows["montage"]})
    lead = (
        f"{count(len(everything), 'recording')}: {len(rows)} accepted and {quarantined} quarantined. "
        f"Splits are by subject: {_identity(corpus)}"
    )
    tiles = (
        (str(len(everything)), "recordings"),
        (str(len(rows)), "accepted"),
        (str(quarantined), "quarantined"),
        (number(rows["seconds"].sum() / 3600, 2), "hours accepted"),
        (str(rows["subject_key"].nunique()), "subjects"),
        (str(montages), "montage" if montages == 1 else "montages"),
    )
    if rows.empty:
        return ReportSection("corpus", "Corpus", (lead, "No recording was accepted, so no model was trained."), tiles)
    tables = (_datasets(everything, rows), _montages(rows), *_labels(corpus, tasks), *_warnings(rows))
    return ReportSection("corpus", "Corpus", (lead,), tiles, (_hours(rows),), tables)


def _identity(corpus: Corpus) -> str:
    """State that no subject is in two splits, or that this is unknown because subjects are guessed."""
    ties = find_ties(corpus.accepted())
    bound, loose = ({tie.subjects for tie in ties if tie.binding is binding} for binding in (True, False))
    pairs = count(len(bound), "pair")
    kinds = f"Signals, headers or times tie {pairs} of subjects together, which are in the same split."
    doubt = "Most subjects have the same patient field, so that the headers do not tell whether they are one person."
    notes = " ".join([kinds] * bool(bound) + [doubt] * bool(loose))
    if (source := corpus.subjects_guessed_from) is None:
        return f"no subject is in two of training, validation and test. {notes}".rstrip()
    return (
        f"subjects: {source}. It is not known that no person is in two of training, validation and test: state the "
        f"subjects in the recipe (`corpus.subject`). {notes}"
    ).rstrip()


def _hours(rows: pd.DataFrame) -> EmbeddedFigure:
    datasets = sorted(rows["dataset"].unique())
    sums = rows.groupby(["split", "dataset"])["seconds"].sum() / 3600
    by_split: dict[str, list[float]] = {
        split: [float(sums.get((split, name), 0.0)) for name in datasets] for split in SPLITS
    }
    return embed_figure(
        plots.hours(datasets, by_split),
        name="hours",
        alt="Hours of accepted recordings by dataset: "
        + ", ".join(f"{name} {sum(by_split[s][i] for s in SPLITS):.2f}" for i, name in enumerate(datasets)),
        caption="Hours of accepted recordings by dataset and split.",
    )


def _datasets(everything: pd.DataFrame, rows: pd.DataFrame) -> Table:
    body = []
    for name, part in everything.groupby("dataset"):
        accepted = rows[rows["dataset"] == name]
        body.append(
            (
                str(name),
                f"{len(accepted)} of {len(part)}",
                *(_subjects(accepted, split) for split in SPLITS),
                number(accepted["seconds"].sum() / 3600, 2),
                _values(accepted["rate_hz"]),
                _values(accepted["mains_hz"]),
                _values(accepted["format"]),
                _values(accepted["reference"]),
                _values(accepted["unit_scale"]),
            )
        )
    head = (
        "dataset", "accepted", "train", "valid.", "test", "hours", "sfreq (Hz)", "line freq. (Hz)", "format",
        "reference", "unit factor",
    )  # fmt: skip
    note = (
        "Train, valid. and test are numbers of subjects. The adapter multiplies the file’s values by the unit factor."
    )
    return Table("Datasets", head, tuple(body), frozenset({1, 2, 3, 4, 5, 6, 7, 10}), note=note)


def _subjects(rows: pd.DataFrame, split: str) -> str:
    return str(rows.loc[rows["split"] == split, "subject_key"].nunique())


def _values(column: pd.Series) -> str:
    """List the distinct values of a column, the most frequent first."""
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
        protocol = corpus.protocol(task.dataset)
        for split in (None,) if protocol else SPLITS:
            found = corpus.intervals(task.name, split, task.dataset)
            if len(found):
                body.append(
                    (
                        task.name,
                        split or protocol,
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
    """Describe the distribution of labels: intervals per class, or range of each target."""
    if task.kind == "regression":
        table = pd.DataFrame(labels.tolist(), columns=list(task.classes)[: len(labels.iloc[0])])
        return "; ".join(f"{name} {part.min():.3g} to {part.max():.3g}" for name, part in table.items())
    counts = Counter(int(label[0]) for label in labels)
    return ", ".join(f"{name} {counts.get(index, 0)}" for index, name in enumerate(task.classes))


def _warnings(rows: pd.DataFrame) -> list[Table]:
    """Return tables of the warnings on accepted recordings and of excluded labels, whose codes end in ``=count``."""
    recordings: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    for row in rows.to_dict("records"):
        for code in row["warnings"] or ():
            reason, _, amount = str(code).partition("=")
            if amount.isdigit():
                labels[reason.removeprefix("excluded_")] += int(amount)
            else:
                recordings[reason] += 1
    note = "Recordings with a warning are used."
    return [
        *_tally("Warnings", ("warning", "recordings"), recordings, note),
        *_tally("Excluded labels", ("reason", "labels"), labels, ""),
    ]


def _tally(title: str, head: tuple[str, str], counts: Counter[str], note: str) -> list[Table]:
    body = tuple((code.replace("_", " "), str(amount)) for code, amount in counts.most_common())
    return [Table(title, head, body, frozenset({1}), note=note)] if body else []
