"""Move the alias `champion` to the models that passed all their gates."""

from kfp import dsl

from components import component


@component
def promote(
    workspace: str,
    versions: dsl.Input[dsl.Dataset],
    verdicts: dsl.Input[dsl.Dataset],
    promotions: dsl.Output[dsl.Dataset],
) -> None:
    """Write which aliases moved."""
    from labram.steps.promote import promote

    promote(workspace=workspace, versions=versions.path, verdicts=verdicts.path, out=promotions.path)
