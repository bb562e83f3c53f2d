"""Put tokenizer, backbone and task models into the registry as challengers."""

from kfp import dsl

from components import component


@component
def register(
    workspace: str,
    corpus_version: str,
    recipe: str,
    corpus: dsl.Input[dsl.Dataset],
    tokenizer: dsl.Input[dsl.Model],
    backbone: dsl.Input[dsl.Model],
    models: dsl.Input[list[dsl.Model]],
    evaluations: dsl.Input[list[dsl.Dataset]],
    versions: dsl.Output[dsl.Dataset],
) -> None:
    """Writes the registered versions."""
    from labram.steps.register import register

    register(
        workspace=workspace,
        corpus_version=corpus_version,
        recipe=recipe,
        corpus=corpus.path,
        tokenizer=tokenizer.path,
        backbone=backbone.path,
        models=[model.path for model in models],
        evaluations=[evaluation.path for evaluation in evaluations],
        out=versions.path,
    )
