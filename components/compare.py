"""Report which variants of a study differ significantly."""

from kfp import dsl

from components import component


@component
def compare(
    workspace: str,
    corpus_version: str,
    recipe: str,
    corpus: dsl.Input[dsl.Dataset],
    start: str,
    evaluations: dsl.Input[list[dsl.Dataset]],
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """Write the report of the study and close the run."""
    from labram.steps.compare import compare

    compare(
        workspace=workspace,
        corpus_version=corpus_version,
        recipe=recipe,
        corpus=corpus.path,
        start=start,
        evaluations=[evaluation.path for evaluation in evaluations],
        out=page.path,
        summary=summary.path,
    )
