"""Runs only if a gate refused: whoever follows the run, or its log, sees it."""

from kfp import dsl

from components import component


@component
def refused(verdicts: dsl.Input[dsl.Dataset]) -> None:
    """Says which models are not promoted, and why."""
    from labram.steps.refused import refused

    refused(verdicts=verdicts.path)
