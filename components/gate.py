"""Decide for each challenger whether it may become champion."""

from kfp import dsl

from components import component


@component
def gate(
    workspace: str,
    recipe: str,
    corpus: dsl.Input[dsl.Dataset],
    versions: dsl.Input[dsl.Dataset],
    verdicts: dsl.Output[dsl.Dataset],
    summary: dsl.Output[dsl.Markdown],
    tokenizer: dsl.Input[dsl.Model] = None,
    backbone: dsl.Input[dsl.Model] = None,
    evaluations: dsl.Input[list[dsl.Dataset]] = None,
) -> None:
    """Write the verdict of every gate."""
    from labram.steps.gate import gate

    gate(
        workspace=workspace,
        recipe=recipe,
        corpus=corpus.path,
        tokenizer=tokenizer and tokenizer.path,
        backbone=backbone and backbone.path,
        evaluations=[evaluation.path for evaluation in evaluations or ()],
        versions=versions.path,
        out=verdicts.path,
        summary=summary.path,
    )
