"""Raw recordings to clean patches in the store, one shard of them."""

from kfp import dsl

from components import component


@component
def ingest(
    data: str,
    workspace: str,
    corpus_version: str,
    shard: str,
    datasets: list[str],
    preprocessing: str,
    part: dsl.Output[dsl.Dataset],
) -> None:
    """Writes the shard's part of the catalogue and of the labels; `corpus_version` makes new data run again."""
    from labram.steps.ingest import ingest

    ingest(data=data, workspace=workspace, shard=shard, datasets=datasets, preprocessing=preprocessing, out=part.path)
    part.metadata["corpus_version"] = corpus_version
