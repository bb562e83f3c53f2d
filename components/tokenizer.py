"""Train the tokenizer: vector-quantised neural spectrum prediction."""

from kfp import dsl

from components import component


@component
def tokenizer(
    workspace: str,
    corpus: dsl.Input[dsl.Dataset],
    architecture: str,
    settings: str,
    seed: int,
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """Write the tokenizer's weights, history, codebook usage and example spectra."""
    import json

    from labram.steps.tokenizer import tokenizer

    values = tokenizer(
        workspace=workspace,
        corpus=corpus.path,
        architecture=architecture,
        settings=settings,
        seed=seed,
        out=model.path,
        summary=summary.path,
    )
    metrics.metadata.update(values)
    with open(metrics.path, "w", encoding="utf-8") as file:
        json.dump(values, file)
