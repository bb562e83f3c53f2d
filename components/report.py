"""One page about the run."""

from kfp import dsl

from components import component


@component
def report(
    workspace: str,
    corpus_version: str,
    recipe: str,
    corpus: dsl.Input[dsl.Dataset],
    tokenizer: dsl.Input[dsl.Model],
    backbone: dsl.Input[dsl.Model],
    evaluations: dsl.Input[list[dsl.Dataset]],
    verdicts: dsl.Input[dsl.Dataset],
    promotions: dsl.Input[dsl.Dataset],
    page: dsl.Output[dsl.HTML],
) -> None:
    """Writes the report and closes the run."""
    from labram.steps.report import report

    report(
        workspace=workspace,
        corpus_version=corpus_version,
        recipe=recipe,
        corpus=corpus.path,
        tokenizer=tokenizer.path,
        backbone=backbone.path,
        evaluations=[evaluation.path for evaluation in evaluations],
        verdicts=verdicts.path,
        promotions=promotions.path,
        out=page.path,
    )
