"""The chapters about what went in: the accepted recordings, and those refused."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from labram.corpus.catalogue import SPLITS, Corpus
from labram.errors import CorpusError, Reason
from labram.operations import plots
from labram.operations.report.elements import Chapter, Picture, Table, count, number, picture
from labram.operations.report.record import RunRecord
from labram.recipe import TaskRecipe

MEANINGS = {
    Reason.UNREADABLE: "the file cannot be opened or parsed",
    Reason.UNSUPPORTED: "a format that no reader knows",
    Reason.DAMAGED: "the content contradicts itself or its header",
    Reason.TRUNCATED: "the file ends before its header says",
    Reason.NOT_EEG: "holds no EEG",
    Reason.NO_CANONICAL_CHANNELS: "no channel has a name of the electrode table",
    Reason.TOO_SHORT: "shorter than the recipe allows",
    Reason.FLAT: "too many channels without a signal",
    Reason.IMPLAUSIBLE_UNIT: "amplitudes point to a wrong unit",
    Reason.EXCESSIVE_AMPLITUDE: "amplitudes far beyond those of EEG",
    Reason.GAPS: "a hole in the time stamps",
    Reason.DUPLICATE_CONTENT: "the same content as another recording",
    Reason.DUPLICATE_FORMAT: "another format of a recording that is taken already",
    Reason.MISSING_LABEL: "a label that must be there is missing",
}
MOST_ROWS_UNFOLDED = 12


def chapters(record: RunRecord) -> list[Chapter]:
    """What went in, and what was refused."""
    try:
        corpus = Corpus.load(record.corpus) if record.corpus else None
    except CorpusError:
        corpus = None
    if corpus is None:
        missing = ("The run ended before the recordings were catalogued: nothing is known about what went in.",)
        return [Chapter("corpus", "Corpus", missing)]
    return [_accepted(corpus, record.recipe.tasks), _quarantine(corpus, _rules(record.corpus))]


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
    return Table("Montages", head, tuple(body), frozenset({0, 3, 4}), folded=len(body) > MOST_ROWS_UNFOLDED)


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


def _rules(folder: Path | None) -> list[Table]:
    """The quality suite: what was asked of each recording, and how many broke it."""
    path = folder / "quality.json" if folder else None
    if path is None or not path.is_file():
        return []
    body = tuple(
        (rule["name"], rule["column"], _bounds(rule["least"], rule["most"]), rule["severity"], str(rule["failed"]))
        for rule in json.loads(path.read_text())
    )
    note = "Breaking a critical rule means quarantine, breaking the others a warning."
    return [
        Table(
            "Quality rules",
            ("rule", "figure", "allowed", "severity", "broken by"),
            body,
            frozenset({4}),
            folded=True,
            note=note,
        )
    ]


def _bounds(least: float | None, most: float | None) -> str:
    if least is None:
        return f"at most {most:g}"
    return f"at least {least:g}" if most is None else f"{least:g} to {most:g}"


def _quarantine(corpus: Corpus, suite: list[Table]) -> Chapter:
    rows, total = corpus.quarantined(), len(corpus.catalogue)
    if rows.empty:
        return Chapter("quarantine", "Quarantine", ("No recording was refused.",), tables=tuple(suite))
    lead = (
        f"{count(len(rows), 'recording')} of {total} {'was' if len(rows) == 1 else 'were'} refused; "
        "a recording can have more than one reason. None of them is used anywhere in this run."
    )
    refusals = rows.to_dict("records")
    counts = Counter((str(code), str(row["dataset"])) for row in refusals for code in row["reasons"])
    by_reason = Counter(str(code) for row in refusals for code in row["reasons"])
    reasons = tuple(
        (
            code,
            _meaning(code),
            str(amount),
            ", ".join(f"{name} ({n})" for (reason, name), n in sorted(counts.items()) if reason == code),
        )
        for code, amount in by_reason.most_common()
    )
    refused = tuple(
        (str(row["recording_id"]), str(row["format"]), _seconds(row["seconds"]), ", ".join(row["reasons"]))
        for row in refusals
    )
    tables = (
        Table("Reasons", ("reason", "meaning", "recordings", "datasets"), reasons, frozenset({2})),
        Table(
            "Recordings refused",
            ("recording", "format", "seconds", "reasons"),
            refused,
            frozenset({2}),
            folded=len(refused) > MOST_ROWS_UNFOLDED,
        ),
        *suite,
    )
    return Chapter("quarantine", "Quarantine", (lead,), tables=tables)


def _meaning(code: str) -> str:
    return MEANINGS.get(Reason(code), "") if code in set(Reason) else ""


def _seconds(value: float | None) -> str:
    return "–" if pd.isna(value) or not value else f"{value:.0f}"
