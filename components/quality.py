"""Accept or quarantine every recording, and split the subjects."""

from kfp import dsl

from components import component


@component
def quality(
    workspace: str,
    parts: dsl.Input[list[dsl.Dataset]],
    label_sources: dict[str, str],
    thresholds: str,
    split: str,
    seed: int,
    corpus: dsl.Output[dsl.Dataset],
) -> None:
    """Write the catalogue with verdicts and splits: every recording is either accepted or quarantined."""
    from labram.steps.quality import quality

    quality(
        workspace=workspace,
        parts=[part.path for part in parts],
        label_sources=label_sources,
        thresholds=thresholds,
        split=split,
        seed=seed,
        out=corpus.path,
    )
