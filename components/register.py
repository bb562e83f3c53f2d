"""Log tokenizer, backbone and task models to the registry as challengers."""

from kfp import dsl

from components import component


@component
def register(
    workspace: str,
    corpus_version: str,
    recipe: str,
    corpus: dsl.Input[dsl.Dataset],
    versions: dsl.Output[dsl.Dataset],
    start: str = "",
    tokenizer: dsl.Input[dsl.Model] = None,
    backbone: dsl.Input[dsl.Model] = None,
    models: dsl.Input[list[dsl.Model]] = None,
    evaluations: dsl.Input[list[dsl.Dataset]] = None,
) -> None:
    """Write the registered versions."""
    from labram.steps.register import register

    register(
        workspace=workspace,
        corpus_version=corpus_version,
        recipe=recipe,
        corpus=corpus.path,
        start=start,
        tokenizer=tokenizer and tokenizer.path,
        backbone=backbone and backbone.path,
        models=[model.path for model in models or ()],
        evaluations=[evaluation.path for evaluation in evaluations or ()],
        out=versions.path,
    )
