"""Runs only if a gate refused: whoever follows the run, or its log, sees it."""

from kfp import dsl

from components import component


@component
def report_gate_failure(verdicts: dsl.Input[dsl.Dataset]) -> None:
    """Says which models are not promoted, and why."""
    from labram.steps.report_gate_failure import report_gate_failure

    report_gate_failure(verdicts=verdicts.path)
