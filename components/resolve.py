"""Is there anything to do?"""

from kfp import dsl

from components import component


@component
def resolve(
    data: str,
    workspace: str,
    recipe: str,
    force: bool,
    corpus_version: dsl.OutputPath(str),  # type: ignore[valid-type]
) -> str:
    """Gives `changed` or `unchanged`, and the corpus version."""
    from labram.steps.resolve import resolve

    plan = resolve(data=data, workspace=workspace, recipe=recipe, force=force)
    with open(corpus_version, "w") as file:
        file.write(plan.corpus_version)
    return plan.decision
