"""Prepare corpus and backbone for one fine-tuning of a study."""

from kfp import dsl

from components import component


@component
def ablation_run(
    workspace: str,
    corpus: dsl.Input[dsl.Dataset],
    backbone: dsl.Input[dsl.Model],
    settings: str,
    part: dsl.Output[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    task: dsl.OutputPath(str),  # type: ignore[valid-type]
    run_seed: dsl.OutputPath(int),  # type: ignore[valid-type]
    label: dsl.OutputPath(str),  # type: ignore[valid-type]
) -> None:
    """Write the part of the corpus and the backbone that one ablation run uses, its task, seed and label."""
    from labram.steps.ablation_run import ablation_run

    run = ablation_run(
        workspace=workspace,
        corpus=corpus.path,
        backbone=backbone.path,
        settings=settings,
        part=part.path,
        model=model.path,
    )
    for path, text in ((task, run.task.to_json()), (run_seed, str(run.seed)), (label, run.label)):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
