"""`labram datasets`: list and show datasets, draft and check a dataset file; `labram corpus fetch`."""

import json
import shlex
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labram.cli.exit_codes import NOT_OPEN
from labram.cli.options import RecipeOption
from labram.cli.terminal import echo
from labram.errors import CorpusError

if TYPE_CHECKING:
    from labram.corpus.dataset_check import DatasetCheck

_MAX_SUBJECT = 1_000_000
_LISTED = 10

app = typer.Typer(
    help="Describe your own recordings in a file, check it, and list known datasets.", no_args_is_help=True
)
JsonArray = Annotated[bool, typer.Option("--json", help="Print one JSON array instead of a table.")]
FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of recordings.")]


@app.command("list")
def list_(as_json: JsonArray = False) -> None:
    """List the built-in datasets: tasks, line frequency, licence, and how to obtain them.

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


def datasets(as_json: JsonArray = False) -> None:
    """List the built-in datasets. Renamed: use `labram datasets list`; this name is accepted for one release.

    Exit codes: 0 done; 1 error.
    """
    list_(as_json)


@app.command()
def show(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="Name of a built-in dataset, or a folder with a dataset.yaml.")
    ],
) -> None:
    """Print what is known about a dataset, as YAML.

    Exit codes: 0 done; 1 error.
    """
    import yaml

    from labram.corpus.dataset_check import load_folder
    from labram.datasets import get_adapter

    folder = Path(dataset)
    adapter = load_folder(folder) if folder.exists() else get_adapter(dataset)
    about = {**_about(adapter), "tasks": {task: list(names) for task, names in adapter.tasks.items()}}
    echo(yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=100), nl=False)


@app.command()
def init(
    folder: FolderArgument,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing dataset.yaml.")] = False,
) -> None:
    """Look at a folder of recordings and draft its dataset.yaml, with every doubt as a comment.

    The draft has the best reading of names, headers, tables and annotations. Correct the lines with doubts, then run
    `labram datasets check`. See docs/your-own-data.md.

    Exit codes: 0 done; 1 error.
    """
    from labram.atomic import atomic_path
    from labram.datasets.stated.dataset_file import DATASET_FILE
    from labram.datasets.stated.draft import doubts, draft
    from labram.datasets.stated.survey import survey

    if not folder.is_dir():
        raise CorpusError("no such folder", file=folder, remedy="Choose the folder that holds the recordings")
    path = folder / DATASET_FILE
    if path.exists() and not force:
        raise CorpusError("the file exists already", file=path, remedy="Edit it, or pass --force to replace it")
    text = draft(survey(folder))
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    echo(f"{path} written. Doubts, to be settled in the file:")
    for doubt in doubts(text) or ["none"]:
        echo(f"  {doubt}")
    echo(f"Next: labram datasets check {shlex.quote(str(folder))}")


@app.command()
def check(
    folder: FolderArgument,
    recipe: RecipeOption = "demo",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Check a folder's dataset.yaml before anything is trained: subjects, hours, labels, splits, quality of a sample.

    Headers and labels of all recordings are read, and the quality rules are tried on the beginning of a few. Rows that
    match no recording and recordings without labels are named; they are printed only, never stored. Splits are those
    of the recipe, unless the quality check quarantines recordings.

    Exit codes: 0 done; 1 error, or no recording can be read.
    """
    from dataclasses import asdict

    from labram.cli.progress import Bar
    from labram.corpus.dataset_check import check_dataset, load_folder
    from labram.datasets.stated.task_defaults import load_recipe

    dataset = load_folder(folder)
    settings = load_recipe(recipe, data=dataset.folder)
    with nullcontext() if as_json else Bar("check") as bar:
        result = check_dataset(dataset, settings, monitor=bar)
    if as_json:
        facts = {**asdict(result), "subjects": result.subjects, "groups": result.groups, "hours": result.hours}
        echo(json.dumps(facts, default=str))
    else:
        _show(result, settings.name)
    if not result.hours:
        raise CorpusError(
            "no recording can be read", file=folder, remedy="See the reasons above, or `labram datasets check --json`"
        )


def _show(result: "DatasetCheck", recipe: str) -> None:
    groups = f", {result.groups} groups" if result.groups else ""
    echo(f"{result.name}: {len(result.files)} recordings, {result.subjects} subjects{groups}, {result.hours:.2f} hours")
    _show_classes(result, recipe)
    for title, lines in _problems(result):
        if lines:
            echo(f"{title}: {len(lines)}", fg="yellow")
            for line in lines[:_LISTED]:
                echo(f"  {line}")
            if len(lines) > _LISTED:
                echo(f"  … and {len(lines) - _LISTED} more (--json lists all)")
    accepted = sum(judged.accepted for judged in result.sample)
    echo(f"Quality rules, tried on the beginning of {len(result.sample)} recordings: {accepted} accepted")
    for judged in result.sample:
        for finding in judged.findings:
            echo(f"  {judged.place}: {finding}")


def _show_classes(result: "DatasetCheck", recipe: str) -> None:
    from rich.table import Table

    from labram.cli.progress import console
    from labram.corpus.catalogue import SPLITS

    if not result.classes:
        return
    table = Table()
    columns = ("task", "class", "subjects", "files", "minutes", "train / val. / test")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number > 1 else "left", overflow="fold")
    for counts in result.classes:
        splits = " / ".join(str(counts.splits[split]) for split in SPLITS) if counts.splits else ""
        minutes = f"{counts.seconds / 60:.1f}"
        table.add_row(counts.task, counts.name, str(counts.subjects), str(counts.recordings), minutes, splits)
    console.print(table)
    if any(counts.splits for counts in result.classes):
        echo(f"Train, validation and test count subjects, as the recipe {recipe!r} splits them.")


def _problems(result: "DatasetCheck") -> Iterator[tuple[str, list[str]]]:
    """Yield the titles and lines of all problems."""
    unusable = [one for one in result.files if one.problem]
    yield (
        "Cannot be used",
        [
            one.problem if one.problem.startswith(one.file.name) else f"{one.file.name}: {one.problem}"
            for one in unusable
        ],
    )
    yield "Not used in tables", list(result.notes)
    for task, places in result.unlabelled.items():
        yield f"Recordings without labels for task {task!r}", list(places)
    yield "Worth a look", list(result.hints)
    yield "Tasks that cannot be trained and evaluated yet", list(result.doubts)


def fetch(
    name: Annotated[
        str, typer.Argument(metavar="DATASET", help="Dataset name from `labram datasets list`, such as eegmmidb.")
    ],
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


def import_labram(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that the published code prepared.")],
    out: Annotated[Path, typer.Option("--out", help="New folder for the recordings and their dataset.yaml.")],
    name: Annotated[str, typer.Option(help="Name of the dataset.")] = "imported",
    channels: Annotated[
        Path | None,
        typer.Option(help="Text file with the channels of the windows. Default: the 23 of the Temple corpora."),
    ] = None,
) -> None:
    """Import what the published code prepared: a pickle per window (TUAB, TUEV), or recordings in HDF5.

    Pickles are read without running code from them. The signals stay as they are: filtered, at 200 Hz, in µV.

    Exit codes: 0 done; 1 error.
    """
    from labram.cli.progress import Bar
    from labram.datasets.stated.published_files import import_published
    from labram.datasets.stated.trial_files import channel_names

    names = channel_names(channels.name, channels.parent) if channels else ()
    with Bar("import") as bar:
        done = import_published(folder, out, name, names, bar)
    windows = f", {done.windows} labelled windows" if done.windows else ""
    echo(f"{done.recordings} recordings{windows} in {out}. Doubts, to be settled in its dataset.yaml:")
    for doubt in done.doubts or ["none"]:
        echo(f"  {doubt}")
    echo(f"Next: labram datasets check {shlex.quote(str(out))}")


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
