"""`labram corpus find`: the file of an id in a report, and the id, verdict and reasons of a file."""

from pathlib import Path
from typing import Annotated

import typer

from labram.cli.options import DEFAULT_WORKSPACE, WorkspaceOption
from labram.cli.terminal import echo
from labram.errors import CorpusError

_CATALOGUES = "*/quality/corpus"
"""Folders of the catalogues of runs, in the pipeline folder of a workspace."""


def find(
    what: Annotated[
        str, typer.Argument(metavar="ID_OR_FILE", help="Recording id from a report, or path or name of a file.")
    ],
    data: Annotated[Path, typer.Option("--data", "-d", help="Folder of recordings.")] = Path("data"),
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Find the file of a recording id, or the id of a file, with verdict, reasons and remedies.

    Ids in reports do not reveal paths. Finding a path needs the folder of recordings and the key in the workspace. The
    answer is printed, never stored.

    Exit codes: 0 done; 1 error, or no such recording.
    """
    from labram.corpus.catalogue import Corpus
    from labram.corpus.find_recording import find_recording
    from labram.corpus.local_ingest import published_corpora
    from labram.corpus.pseudonyms import KEY_FILE, load_key
    from labram.platform.workspace import Workspace
    from labram.store.store import Store

    if not data.is_dir():
        raise CorpusError("no such folder", file=data, field="--data", remedy="Give the folder of recordings")
    layout = Workspace.at(workspace)
    store = Store(layout.store)
    folders = [layout.root] if store.is_bucket else [layout.root, store.root]
    having = [folder for folder in folders if (folder / KEY_FILE).is_file()]
    keys = [load_key(folder, shared=store.is_bucket) for folder in having or folders[:1]]
    runs = sorted(layout.pipeline.glob(_CATALOGUES), key=lambda folder: folder.stat().st_mtime)
    catalogues = [*published_corpora(store).values(), *(Corpus.load(folder) for folder in runs)]
    for found in find_recording(what, data, keys, catalogues, store):
        echo(f"{found.path}: {found.verdict or 'not ingested'}{f', {found.split}' if found.split else ''}")
        for identifier in found.ids:
            echo(f"  id {identifier}")
        for finding in found.findings:
            echo(f"  {finding}")
