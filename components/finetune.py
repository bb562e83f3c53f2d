"""Fine-tune the backbone on one task."""

from kfp import dsl

from components import component


@component
def finetune(
    workspace: str,
    corpus: dsl.Input[dsl.Dataset],
    backbone: dsl.Input[dsl.Model],
    task: str,
    seed: int,
    model: dsl.Output[dsl.Model],
    summary: dsl.Output[dsl.Markdown],
    label: str = "",
) -> None:
    """Write the task model's weights, history and task metadata."""
    from labram.steps.finetune import finetune

    finetune(
        workspace=workspace,
        corpus=corpus.path,
        backbone=backbone.path,
        task=task,
        seed=seed,
        out=model.path,
        summary=summary.path,
        label=label,
    )
