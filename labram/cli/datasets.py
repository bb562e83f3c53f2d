"""`labram corpus datasets` and `fetch`: which datasets are known, and bringing those that are open."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

NOT_OPEN = 2
"""Exit code for a dataset that has to be applied for or fetched by hand."""
_MOST_SUBJECT = 1_000_000


def datasets(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array instead of a table.")] = False,
) -> None:
    """Name the datasets that labram knows: tasks, mains frequency, licence and how to obtain them."""
    from labram.datasets import ADAPTERS

    if as_json:
        typer.echo(json.dumps([_about(adapter) for adapter in ADAPTERS.values()]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "title", "tasks", "mains", "fetch", "licence")
    table.add_column("how to obtain", overflow="fold")
    for adapter in ADAPTERS.values():
        fetched = "yes" if adapter.download else ""
        mains = f"{adapter.line_freq_hz:g} Hz"
        tasks = ", ".join(adapter.tasks)
        table.add_row(adapter.name, adapter.title, tasks, mains, fetched, adapter.licence, adapter.obtain)
    Console().print(table)


def fetch(
    name: Annotated[str, typer.Argument(help="Such as eegmmidb; see `labram corpus datasets`.")],
    subjects: Annotated[str, typer.Option(help="Numbers of subjects, as in 1,2,5-7. All by default.")] = "",
    out: Annotated[Path, typer.Option(help="Corpus folder; the dataset gets a folder of its name in it.")] = Path(
        "data"
    ),
) -> None:
    """Download an openly available dataset, each file checked by its archive's checksum.

    An interrupted download goes on where it stopped. For a dataset that is not open, says how to apply; exit code 2.
    """
    from labram.cli.progress import Bar
    from labram.datasets import get_adapter
    from labram.datasets.fetch import fetch as bring

    adapter = get_adapter(name)
    if adapter.download is None:
        typer.secho(f"{adapter.title} cannot be fetched. How to obtain it: {adapter.obtain}", err=True)
        raise typer.Exit(NOT_OPEN)
    with Bar(f"fetching {name}") as bar:
        done = bring(adapter.download, out / name, subjects=_numbers(subjects), monitor=bar)
    typer.echo(f"{done.files} files are in {out / name}, {done.new} of them new. Licence: {adapter.licence}")


def _numbers(text: str) -> frozenset[int]:
    numbers: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise typer.BadParameter(f"{part!r} is neither a number nor a range such as 5-7", param_hint="--subjects")
        if not int(first) <= int(last or first) <= _MOST_SUBJECT:
            raise typer.BadParameter(f"{part!r} is no range of subjects", param_hint="--subjects")
        numbers.update(range(int(first), int(last or first) + 1))
    if text and not numbers:
        raise typer.BadParameter("it names no subject; leave it out to fetch all", param_hint="--subjects")
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
