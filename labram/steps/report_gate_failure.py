"""Report gate failure: log the models that are not promoted.

KFP's API reports only the states of tasks. If this one ran, `labram pipeline submit --wait` exits with code 3.
"""

from labram.events import step
from labram.steps.artifacts import read_verdicts


def report_gate_failure(*, verdicts: str | None) -> None:
    """Log each model that is not promoted, with its failed gates.

    Args:
        verdicts: Folder that `gate` wrote; None if nothing has changed since a run that was not promoted.
    """
    with step("report_gate_failure") as reporter:
        if verdicts is None:
            reporter.note("the run whose result is repeated was not promoted")
            return
        for verdict in read_verdicts(verdicts):
            if not verdict.passed:
                gates = ", ".join(gate.name for gate in verdict.failed_gates)
                reporter.note(f"{verdict.model} version {verdict.version} is not promoted; failed gates: {gates}")
