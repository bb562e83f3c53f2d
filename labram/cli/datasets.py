"""`labram corpus datasets` and `labram corpus fetch`: list datasets, download the open ones."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from labram.cli.exit_codes import NOT_OPEN
from labram.cli.terminal import echo

_MAX_SUBJECT = 1_000_000


def datasets(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array instead of a table.")] = False,
) -> None:
    """List the supported datasets: tasks, line frequency, licence, and how to obtain them.

    Exit codes: 0 done; 1 error.
    """
    from labram.datasets import ADAPTERS

    if as_json:
        echo(json.dumps([_about(adapter) for adapter in ADAPTERS.values()]))
        return
    from rich.table import Table

    from labram.cli.progress import console

    table = Table()
    table.add_column("name", no_wrap=True)
    for column in ("title", "tasks", "line frequency", "fetch", "licence"):
        table.add_column(column)
    table.add_column("how to obtain", overflow="fold")
    for adapter in ADAPTERS.values():
        fetched = "yes" if adapter.download else ""
        line = f"{adapter.line_freq_hz:g} Hz"
        tasks = ", ".join(adapter.tasks)
        table.add_row(adapter.name, adapter.title, tasks, line, fetched, adapter.licence, adapter.obtain)
    console.print(table)


def fetch(
    name: Annotated[str, typer.Argument(help="Dataset name from `labram corpus datasets`, such as eegmmidb.")],
    subjects: Annotated[str, typer.Option(help="Subject numbers, such as 1,2,5-7. Default: all.")] = "",
    out: Annotated[Path, typer.Option(help="Corpus folder; the dataset is written to a subfolder of its name.")] = Path(
        "data"
    ),
) -> None:
    """Download an open dataset and verify each file by the checksum that its archive publishes.

    An interrupted download resumes. For a dataset that is not open, the command prints how to apply for it.

    Exit codes: 0 done; 1 error; 2 not openly available.
    """
    from labram.cli.progress import Bar
    from labram.datasets import get_adapter
    from labram.datasets.fetch import fetch as download

    adapter = get_adapter(name)
    if adapter.download is None:
        echo(f"{adapter.title} is not openly available. How to obtain it: {adapter.obtain}", err=True)
        raise typer.Exit(NOT_OPEN)
    with Bar(f"fetching {name}") as bar:
        done = download(adapter.download, out / name, subjects=_numbers(subjects), monitor=bar)
    echo(f"{done.files} files in {out / name}, {done.new} downloaded. Licence: {adapter.licence}")


def _numbers(text: str) -> frozenset[int]:
    numbers: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise typer.BadParameter(f"expected a number or a range such as 5-7, got {part!r}", param_hint="--subjects")
        if not int(first) <= int(last or first) <= _MAX_SUBJECT:
            raise typer.BadParameter(
                f"expected an ascending range up to {_MAX_SUBJECT}, got {part!r}", param_hint="--subjects"
            )
        numbers.update(range(int(first), int(last or first) + 1))
    if text and not numbers:
        raise typer.BadParameter("no subject numbers; leave the option out to fetch all", param_hint="--subjects")
    return frozenset(numbers)


def _about(adapter: Any) -> dict[str, object]:
    from labram.datasets.base import Group

    return {
        "name": adapter.name,
        "title": adapter.title,
        "tasks": adapter.tasks,
        "mains_hz": adapter.line_freq_hz,
        "reference": adapter.reference,
        "licence": adapter.licence,
        "citation": adapter.citation,
        "obtain": adapter.obtain,
        "fetch": adapter.download is not None,
        "seen_by_released_weights": adapter.group is Group.PRETRAINING,
        "simulated": adapter.simulated,
    }
