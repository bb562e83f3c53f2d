"""Load the existing backbone that the run starts from."""

from kfp import dsl

from components import component


@component
def load_backbone(workspace: str, start: str, model: dsl.Output[dsl.Model]) -> None:
    """Write the backbone's weights, and its leakage ledger if it has one."""
    from labram.steps.load_backbone import load_backbone

    load_backbone(workspace=workspace, start=start, out=model.path)
