"""Read, filter and store the recordings of one shard."""

from kfp import dsl

from components import component


@component
def ingest(
    data: str,
    workspace: str,
    corpus_version: str,
    shard: str,
    datasets: list[str],
    subject: str,
    preprocessing: str,
    part: dsl.Output[dsl.Dataset],
) -> None:
    """Write patches to the store and the shard's part of the catalogue; `corpus_version` is part of the cache key."""
    from labram.steps.ingest import ingest

    ingest(
        data=data,
        workspace=workspace,
        shard=shard,
        datasets=datasets,
        subject=subject,
        preprocessing=preprocessing,
        out=part.path,
    )
    part.metadata["corpus_version"] = corpus_version
