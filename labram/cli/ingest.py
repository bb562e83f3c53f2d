"""`labram corpus ingest` and `labram corpus status`: recordings into a store, and what a store has."""

import json as text
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labram.errors import CorpusError

if TYPE_CHECKING:
    from rich.table import Table

    from labram.corpus.catalogue import Corpus
    from labram.corpus.local_ingest import FolderIngest
    from labram.corpus.quality import Summary

_NAMED = 4
StoreOption = Annotated[
    str, typer.Option("--store", envvar="LABRAM_STORE", help="Folder of the store, or s3://bucket/prefix.")
]
OURS = ".labram/store"


def ingest(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of recordings.")],
    store: StoreOption = OURS,
    datasets: Annotated[
        list[str] | None,
        typer.Option("--datasets", help="Adapters to use: a,b or repeated. Default: all that fit."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", "-r", help="Recipe with the filters, thresholds and datasets.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes. Default: one a core of this machine.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="End with one line of JSON instead of tables.")] = False,
) -> None:
    """Take recordings into a store: read, filter, judge, and write the catalogue, without training anything.

    What is known from an earlier time is not done again. Refused recordings are listed with the reason; their paths are
    shown here and written nowhere. Exit codes: 0 done, 1 not possible, or no recording can be used.
    """
    from labram import recipe as recipes
    from labram.cli.progress import Bar
    from labram.corpus.local_ingest import ingest_folder
    from labram.store.store import Store

    chosen = recipes.load(recipe or "demo")
    names = [name for given in datasets or () for name in given.split(",")]
    with Bar("ingest") as bar:
        done = ingest_folder(
            data,
            names or (chosen.corpus.datasets if recipe else ()),
            Store(store),
            recipe=chosen,
            workers=workers or len(os.sched_getaffinity(0)),
            monitor=bar,
        )
    if json:
        typer.echo(text.dumps(_facts(done)))
    else:
        _show(done)
    if not done.summary.accepted:
        raise CorpusError(
            f"none of {done.summary.recordings} recordings can be used",
            file=data,
            remedy="See the reason codes in the documentation",
        )


def status(
    store: StoreOption = OURS,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Print what the corpora of a store hold: recordings and hours by dataset, montage, verdict, reason and warning."""
    from labram.cli.progress import console
    from labram.corpus.local_ingest import published_corpora
    from labram.corpus.quality import summarise
    from labram.store.store import Store

    corpora = published_corpora(Store(store))
    if json:
        typer.echo(text.dumps({name: asdict(summarise(corpus)) for name, corpus in corpora.items()}))
        return
    if not corpora:
        raise CorpusError("this store has no corpus", file=store, remedy="Run `labram corpus ingest DIR` first")
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
            {"file": place.as_posix(), "reason": reasons[0], "reasons": list(reasons)}
            for place, reasons in done.quarantined
        ],
        "hours": done.summary.hours,
        "reused": done.reused,
        "seconds": round(done.seconds, 3),
        "unused": list(done.unused),
    }


def _show(done: "FolderIngest") -> None:
    from labram.cli.progress import console

    console.print(_datasets(done.summary))
    for table in _codes(done.corpus):
        console.print(table)
    for place, reasons in done.quarantined:
        console.print(f"  {place}: {', '.join(reasons)}", soft_wrap=True)
    if done.unused:
        console.print(f"EEG that no dataset in use covers: {', '.join(done.unused)}", style="yellow", soft_wrap=True)
    console.print(
        f"{done.summary.recordings} recordings, {done.summary.accepted} accepted, {done.summary.quarantined} in "
        f"quarantine, {done.summary.hours:.2f} hours; {done.reused} known already; {done.seconds:.1f} s"
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
    """Tables of what was refused and warned about, if anything was; a warning such as ``excluded_x=3`` by its code."""
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
    """Such as ``FP1 FPZ FP2 … O2``."""
    if len(montage) <= _NAMED:
        return " ".join(montage)
    return f"{' '.join(montage[: _NAMED - 1])} … {montage[-1]}"
