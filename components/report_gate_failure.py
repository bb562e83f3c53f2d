"""Log the models that are not promoted. This task runs only if a gate failed."""

from kfp import dsl

from components import component


@component
def report_gate_failure(verdicts: dsl.Input[dsl.Dataset] = None) -> None:
    """Log each model that is not promoted, with its failed gates."""
    from labram.steps.report_gate_failure import report_gate_failure

    report_gate_failure(verdicts=verdicts and verdicts.path)
