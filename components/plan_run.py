"""Decide whether anything has changed since the last finished run."""

from kfp import dsl

from components import component


@component
def plan_run(
    data: str,
    workspace: str,
    recipe: str,
    force: bool,
    pipeline: str,
    corpus_version: dsl.OutputPath(str),  # type: ignore[valid-type]
    start: dsl.OutputPath(str),  # type: ignore[valid-type]
    backbone: str = "",
    original: str = "",
) -> str:
    """Return `changed` or `unchanged`; write the corpus version and the backbone that the run starts from."""
    from labram.steps.plan_run import plan_run

    plan = plan_run(
        data=data,
        workspace=workspace,
        recipe=recipe,
        force=force,
        pipeline=pipeline,
        backbone=backbone,
        original=original,
    )
    for path, text in ((corpus_version, plan.corpus_version), (start, plan.start)):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    return plan.decision
