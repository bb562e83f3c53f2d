"""Ingest: read, filter and store the recordings of one shard."""

from collections.abc import Sequence
from pathlib import Path

from labram.cores import ingest_workers
from labram.corpus import ingest as corpus
from labram.corpus.pseudonyms import load_key
from labram.datasets.stated.label_table import TableError
from labram.datasets.subjects import SubjectPatternError
from labram.platform.workspace import Workspace, corpus_folder
from labram.recipe import PreprocessingRecipe
from labram.store.store import Store
from labram.tracking.mlflow_runs import tracked


def ingest(
    *, data: str, workspace: str, shard: str, datasets: Sequence[str], subject: str = "", preprocessing: str, out: str
) -> None:
    """Read, filter and store every recording of a shard; write the shard's part of the catalogue.

    Recordings are processed in as many processes as `labram.cores.ingest_workers` allows.

    Args:
        data: Folder of the corpus (see `labram.platform.workspace.corpus_folder`).
        workspace: The workspace.
        shard: ``k/n``: every n-th recording from the k-th.
        datasets: Names of dataset adapters; empty: all that recognise a folder.
        subject: Recipe key `corpus.subject`.
        preprocessing: Recipe section `preprocessing`, as JSON.
        out: Folder for the part of the catalogue.
    """
    layout = Workspace.at(workspace)
    store = Store(layout.store)
    number, total = (int(part) for part in shard.split("/"))
    with tracked("ingest", layout.root, label=shard) as run:
        try:
            counts = corpus.ingest(
                corpus_folder(data),
                datasets,
                Path(out),
                store=store,
                preprocessing=PreprocessingRecipe.from_json(preprocessing),
                shard=number,
                shards=total,
                subject_key=load_key(layout.root, shared=store.is_bucket),
                monitor=run,
                workers=ingest_workers(),
                subject=subject,
            )
        except (SubjectPatternError, TableError) as error:
            raise error.without_path() from None
        run.note(str(counts))
