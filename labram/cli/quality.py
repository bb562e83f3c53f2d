"""`labram corpus quality`: write the quality report of each corpus of a store."""

from pathlib import Path
from typing import Annotated

import typer

from labram.cli.options import DEFAULT_STORE, StoreOption
from labram.cli.terminal import echo
from labram.errors import CorpusError


def quality(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Output folder.")] = Path("quality"),
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write an HTML quality report for each corpus of a store: verdicts, metric distributions, rules, quarantine.

    If the store has no corpus of `labram corpus ingest`, that of the last `labram run` in its workspace is shown. The
    pages are self-contained. `labram run` writes the same page for its corpus.

    Exit codes: 0 done; 1 error.
    """
    from labram.corpus.local_ingest import run_corpus
    from labram.reporting import quality as page
    from labram.store.store import Store

    folders = list(Store(store).corpora())
    if not folders and (folder := run_corpus(Store(store))):
        folders = [folder]
    if not folders:
        raise CorpusError("the store has no corpus", file=store, remedy="Run `labram corpus ingest FOLDER` first")
    try:
        for folder in folders:
            echo(page.write(folder, out / f"{folder.name}.html"))
    except OSError as error:
        raise CorpusError(
            f"cannot write the quality report ({error.strerror})",
            file=out,
            remedy="Choose another folder, or free disk space",
        ) from error
