"""`labram corpus quality`: what was asked of the recordings of a store and what came of it, as a page to look at."""

from pathlib import Path
from typing import Annotated

import typer

from labram.cli.ingest import OURS, StoreOption
from labram.errors import CorpusError


def quality(
    out: Annotated[Path, typer.Argument(help="Folder for the pages.")] = Path("quality"),
    store: StoreOption = OURS,
) -> None:
    """Write a page for each corpus of a store: verdicts, distributions with thresholds, rules, quarantine.

    The pages load nothing from anywhere. A run leaves the same page of its own corpus.
    """
    from labram.reporting import quality as page
    from labram.store.store import Store

    folders = Store(store).corpora()
    if not folders:
        raise CorpusError("this store has no corpus", file=store, remedy="Run `labram corpus ingest DIR` first")
    try:
        for folder in folders:
            typer.echo(page.write(folder, out / f"{folder.name}.html"))
    except OSError as error:
        raise CorpusError(
            f"the page cannot be written ({error.strerror})", file=out, remedy="Name another folder, or make room"
        ) from error
