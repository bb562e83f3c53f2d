"""`labram corpus ingest` and `labram corpus status`: fill a patch store, summarise its corpora."""

import json as text
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labram.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from labram.cli.terminal import echo
from labram.errors import CorpusError
from labram.printable import one_line

if TYPE_CHECKING:
    from rich.table import Table

    from labram.corpus.catalogue import Corpus
    from labram.corpus.local_ingest import FolderIngest
    from labram.corpus.quality import Summary

_NAMED = 4


def ingest(
    data: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of recordings.")],
    store: StoreOption = DEFAULT_STORE,
    datasets: Annotated[
        list[str] | None,
        typer.Option(
            "--datasets",
            help="Dataset adapters to use, such as tuab,tuev. Repeatable. Default: all that recognise a file.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            help="Recipe with filters, quality thresholds, split and datasets. Default: demo, with all datasets.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Worker processes. Default: one per core.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end instead of tables.")] = False,
) -> None:
    """Ingest recordings into a patch store: read, filter, apply the quality rules, write the catalogue.

    Recordings that were ingested before are reused. Quarantined recordings are listed with path and reason codes
    (docs/quality.md). Labels of channels that look like EEG but were not used are listed too. Both lists are printed,
    never written to disk.

    Exit codes: 0 done; 1 error, or all recordings are quarantined.
    """
    from labram.cli.progress import Bar
    from labram.corpus.local_ingest import ingest_folder
    from labram.datasets.stated.task_defaults import load_recipe
    from labram.store.store import Store

    resolved = load_recipe(recipe or "demo", data=data)
    names = [name for listed in datasets or () for name in listed.split(",")]
    with Bar("ingest") as bar:
        done = ingest_folder(
            data,
            names or (resolved.corpus.datasets if recipe else ()),
            Store(store),
            recipe=resolved,
            workers=workers or len(os.sched_getaffinity(0)),
            monitor=bar,
        )
    if json:
        echo(text.dumps(_facts(done)))
    else:
        _show(done)
    if not done.summary.accepted:
        raise CorpusError(
            f"all {done.summary.recordings} recordings are quarantined",
            file=data,
            remedy="Look up the reason codes in docs/quality.md"
            + ("" if done.published else "; the store still has the catalogue of the last ingest that accepted some"),
        )


def status(
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """Print recordings and hours of each corpus of a store, by dataset, montage, verdict, reason and warning.

    If the store has no corpus of `labram corpus ingest`, that of the last `labram run` in its workspace is shown.

    Exit codes: 0 done; 1 error.
    """
    from labram.cli.progress import console
    from labram.corpus.catalogue import Corpus
    from labram.corpus.local_ingest import published_corpora, run_corpus
    from labram.corpus.quality import summarise
    from labram.store.store import Store

    corpora = dict(published_corpora(Store(store)))
    if not corpora and (folder := run_corpus(Store(store))):
        corpora[f"of {folder.parents[1].name}"] = Corpus.load(folder)
    if json:
        echo(text.dumps({name: asdict(summarise(corpus)) for name, corpus in corpora.items()}))
        return
    if not corpora:
        raise CorpusError("the store has no corpus", file=store, remedy="Run `labram corpus ingest FOLDER` first")
    for name, corpus in corpora.items():
        summary = summarise(corpus)
        console.print(f"corpus {name}", style="bold")
        for table in (_datasets(summary), _montages(corpus), _verdicts(corpus), *_codes(corpus)):
            console.print(table)


def _facts(done: "FolderIngest") -> dict[str, object]:
    return {
        "recordings": done.summary.recordings,
        "accepted": done.summary.accepted,
        "quarantined": [
            {"file": path.as_posix(), "reason": reasons[0], "reasons": list(reasons)}
            for path, reasons in done.quarantined
        ],
        "lost_channels": [
            {
                "recordings": lost.recordings,
                "channels": lost.channels,
                "example": lost.example.as_posix(),
                "labels": list(lost.labels),
            }
            for lost in done.lost
        ],
        "hours": done.summary.hours,
        "reused": done.reused,
        "seconds": round(done.seconds, 3),
        "unused": list(done.unused),
        "guessed_subjects": dict(done.proposal.recordings) if done.proposal else {},
        "proposed_pattern": done.proposal.pattern if done.proposal else "",
    }


def _show(done: "FolderIngest") -> None:
    from labram.cli.progress import console

    console.print(_datasets(done.summary))
    for table in _codes(done.corpus):
        console.print(table)
    for path, reasons in done.quarantined:
        console.print(f"  {one_line(str(path))}: {', '.join(reasons)}", soft_wrap=True)
    for lost in done.lost:
        labels = ", ".join(map(ascii, lost.labels)) or "labels are known to the dataset's adapter only"
        console.print(
            f"{lost.recordings} recordings lost {lost.channels} channels each, "
            f"such as {one_line(str(lost.example))}: {labels}",
            style="yellow",
            soft_wrap=True,
            markup=False,
        )
    if done.unused:
        console.print(
            f"EEG not covered by the datasets in use: {', '.join(done.unused)}", style="yellow", soft_wrap=True
        )
    if done.proposal:
        subjects = ", ".join(f"{subject} x {count}" for subject, count in sorted(done.proposal.recordings.items()))
        console.print(
            f"subjects: guessed from names: {done.proposal.counts} ({subjects})",
            style="yellow",
            soft_wrap=True,
            markup=False,
        )
        console.print(f"{done.proposal.remedy}.", style="yellow", soft_wrap=True, markup=False)
    console.print(
        f"{done.summary.recordings} recordings, {done.summary.accepted} accepted, "
        f"{done.summary.quarantined} quarantined, {done.summary.hours:.2f} hours; {done.reused} reused; "
        f"{done.seconds:.1f} s"
    )


def _datasets(summary: "Summary") -> "Table":
    columns = ("recordings", "accepted", "quarantined", "subjects", "hours")
    return _table(
        ("dataset", *columns),
        ([name, *(f"{counts[column]:g}" for column in columns)] for name, counts in summary.datasets.items()),
    )


def _montages(corpus: "Corpus") -> "Table":
    rows = corpus.accepted()
    groups = (
        rows.groupby(rows["montage"].map(tuple))["seconds"].agg(["size", "sum"]).sort_values("sum", ascending=False)
    )
    return _table(
        ("montage", "channels", "recordings", "hours"),
        (
            [_short(montage), str(len(montage)), str(size), f"{seconds / 3600:.2f}"]
            for montage, size, seconds in groups.sort_values("sum", ascending=False).itertuples()
        ),
    )


def _verdicts(corpus: "Corpus") -> "Table":
    groups = corpus.catalogue.groupby("verdict")["seconds"].agg(["size", "sum"])
    return _table(
        ("verdict", "recordings", "hours"),
        ([verdict, str(size), f"{seconds / 3600:.2f}"] for verdict, size, seconds in groups.itertuples()),
    )


def _codes(corpus: "Corpus") -> "list[Table]":
    """Return tables of quarantine reasons and of warnings, if any; ``excluded_x=3`` counts as `excluded_x`."""
    tables = []
    for column, title in (("reasons", "reason"), ("warnings", "warning")):
        listed = corpus.catalogue[[column, "seconds"]].explode(column).dropna()
        codes = [str(code).partition("=")[0] for code in listed[column]]
        groups = listed["seconds"].groupby(codes).agg(["size", "sum"])
        rows = [[code, str(size), f"{seconds / 3600:.2f}"] for code, size, seconds in groups.itertuples()]
        tables += [_table((title, "recordings", "hours"), rows)] if rows else []
    return tables


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> "Table":
    from rich.table import Table

    table = Table()
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _short(montage: Sequence[str]) -> str:
    """Return an abbreviated montage, such as ``FP1 FPZ FP2 … O2``."""
    if len(montage) <= _NAMED:
        return " ".join(montage)
    return f"{' '.join(montage[: _NAMED - 1])} … {montage[-1]}"
