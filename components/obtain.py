"""Bring the backbone that the run starts from."""

from kfp import dsl

from components import component


@component
def obtain(workspace: str, start: str, model: dsl.Output[dsl.Model]) -> None:
    """Writes the backbone's weights, and the ledger of what it has seen where it came with one."""
    from labram.steps.obtain import obtain

    obtain(workspace=workspace, start=start, out=model.path)
