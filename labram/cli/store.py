"""`labram store`: check the files of a patch store, and delete those that no recording in use needs."""

import json as text
from typing import TYPE_CHECKING, Annotated

import typer

from labram.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from labram.cli.terminal import echo
from labram.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Collection

    from labram.store.store import Store

app = typer.Typer(help="Check and clean a patch store.", no_args_is_help=True)


@app.command()
def verify(
    store: StoreOption = DEFAULT_STORE,
    remove: Annotated[
        bool, typer.Option("--remove", help="Delete damaged files, so that the next ingest writes them again.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Read every file of a patch store and compare it with its checksum: entries, metadata, codes, catalogues.

    Nothing is cached: damage that keeps a file's size and modification time is found, too. Files of earlier versions
    without a checksum are only read.

    Exit codes: 0 all intact, or damaged files were deleted; 1 error, or damaged files.
    """
    from labram.store.store import INGEST_AGAIN, Store

    opened = Store(store)
    names = opened.names()
    if not names:
        raise StoreError("the store is empty", file=store, remedy="Run `labram corpus ingest FOLDER` first")
    damaged = _damaged(opened, names)
    for name in damaged if remove else ():
        opened.remove(name)
    if json:
        echo(text.dumps({"files": len(names), "damaged": damaged, "removed": remove and bool(damaged)}))
    else:
        echo("\n".join([*damaged, f"{len(names)} files, {len(damaged)} damaged"]))
    if damaged and not remove:
        raise StoreError(
            f"{len(damaged)} of {len(names)} files are damaged",
            file=store,
            remedy="Run `labram store verify --remove`, then `labram corpus ingest FOLDER` with the recipe of the run",
        )
    if damaged:
        echo(f"{INGEST_AGAIN}.", err=True)


def _damaged(store: "Store", names: "Collection[str]") -> list[str]:
    """Return the names of damaged files, with a progress bar."""
    from labram.cli.progress import Bar

    damaged = []
    with Bar("verify") as bar:
        for done, name in enumerate(names, start=1):
            if not store.is_intact(name):
                damaged.append(name)
            bar.progress(done, len(names))
    return damaged


@app.command()
def gc(
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """Delete patches of quarantined recordings, and temporary files of killed processes.

    Patches of quarantined recordings stay in the store, so that you can change the thresholds without reading the
    recordings again. This command deletes the patches of all recordings that no catalogue of the store accepts. Do not
    use it during a run whose recipe accepts more recordings: the catalogues of runs are not in the store.

    Exit codes: 0 done; 1 error.
    """
    from labram.corpus.local_ingest import quarantined_entries
    from labram.store.store import Store

    opened = Store(store)
    opened.gc()
    deleted = opened.remove_entries(quarantined_entries(opened))
    if json:
        echo(text.dumps({"deleted": deleted}))
    else:
        echo(f"{len(deleted)} files deleted")
