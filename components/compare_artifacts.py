"""Compare the artifacts of a reproduction with the original's."""

from kfp import dsl

from components import component


@component
def compare_artifacts(
    workspace: str,
    recipe: str,
    original: str,
    corpus: dsl.Input[dsl.Dataset],
    tokenizer: dsl.Input[dsl.Model],
    backbone: dsl.Input[dsl.Model],
    models: dsl.Input[list[dsl.Model]],
    evaluations: dsl.Input[list[dsl.Dataset]],
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """Write the verdict on every artifact and close the run."""
    from labram.steps.compare_artifacts import compare_artifacts

    compare_artifacts(
        workspace=workspace,
        recipe=recipe,
        original=original,
        corpus=corpus.path,
        tokenizer=tokenizer.path,
        backbone=backbone.path,
        models=[model.path for model in models],
        evaluations=[evaluation.path for evaluation in evaluations],
        out=page.path,
        summary=summary.path,
    )
