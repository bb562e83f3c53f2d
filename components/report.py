"""Write the HTML report and the result of the run."""

from kfp import dsl

from components import component


@component
def report(
    workspace: str,
    corpus_version: str,
    recipe: str,
    corpus: dsl.Input[dsl.Dataset],
    verdicts: dsl.Input[dsl.Dataset],
    promotions: dsl.Input[dsl.Dataset],
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    start: str = "",
    tokenizer: dsl.Input[dsl.Model] = None,
    backbone: dsl.Input[dsl.Model] = None,
    evaluations: dsl.Input[list[dsl.Dataset]] = None,
) -> None:
    """Write the report and close the run."""
    from labram.steps.report import report

    report(
        workspace=workspace,
        corpus_version=corpus_version,
        recipe=recipe,
        corpus=corpus.path,
        start=start,
        tokenizer=tokenizer and tokenizer.path,
        backbone=backbone and backbone.path,
        evaluations=[evaluation.path for evaluation in evaluations or ()],
        verdicts=verdicts.path,
        promotions=promotions.path,
        out=page.path,
        summary=summary.path,
    )
