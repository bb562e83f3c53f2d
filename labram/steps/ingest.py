"""Ingest: one shard of the raw recordings becomes clean patches in the store."""

from collections.abc import Sequence
from pathlib import Path

from labram.corpus import ingest as corpus
from labram.corpus.pseudonyms import load_key
from labram.platform.workspace import Workspace, corpus_folder
from labram.recipe import PreprocessingRecipe
from labram.store.store import Store
from labram.tracking.mlflow_runs import tracked


def ingest(*, data: str, workspace: str, shard: str, datasets: Sequence[str], preprocessing: str, out: str) -> None:
    """Read, filter and store every recording of a shard; write its part of the catalogue.

    Args:
        data: Folder of the corpus (see `labram.platform.workspace.corpus_folder`).
        workspace: The workspace.
        shard: ``k/n``: every n-th recording from the k-th.
        datasets: Names of the adapters; empty: all that recognise something.
        preprocessing: That section of the recipe, as JSON.
        out: Folder for the part of the catalogue.
    """
    place = Workspace.at(workspace)
    store = Store(place.store)
    number, total = (int(part) for part in shard.split("/"))
    with tracked("ingest", place.root, label=shard) as run:
        done = corpus.ingest(
            corpus_folder(data),
            datasets,
            Path(out),
            store=store,
            preprocessing=PreprocessingRecipe.from_json(preprocessing),
            shard=number,
            shards=total,
            subject_key=load_key(place.root, shared=store.is_bucket),
            monitor=run,
        )
        run.note(str(done))
