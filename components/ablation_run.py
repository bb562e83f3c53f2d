"""What one fine-tuning of a study starts from."""

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
    """Writes the part of the corpus that it may see, its backbone, its task, its seed and what it is called."""
    from labram.steps.ablation_run import ablation_run

    said = ablation_run(
        workspace=workspace,
        corpus=corpus.path,
        backbone=backbone.path,
        settings=settings,
        part=part.path,
        model=model.path,
    )
    for path, text in ((task, said.task.to_json()), (run_seed, str(said.seed)), (label, said.label)):
        with open(path, "w") as file:
            file.write(text)
