"""Pre-train the backbone to predict the codes of masked patches."""

from kfp import dsl

from components import component


@component
def pretrain(
    workspace: str,
    corpus: dsl.Input[dsl.Dataset],
    tokenizer: dsl.Input[dsl.Model],
    architecture: str,
    settings: str,
    seed: int,
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """Write the backbone's weights and history."""
    import json

    from labram.steps.pretrain import pretrain

    values = pretrain(
        workspace=workspace,
        corpus=corpus.path,
        tokenizer=tokenizer.path,
        architecture=architecture,
        settings=settings,
        seed=seed,
        out=model.path,
        summary=summary.path,
    )
    metrics.metadata.update(values)
    with open(metrics.path, "w", encoding="utf-8") as file:
        json.dump(values, file)
