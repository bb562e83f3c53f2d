"""Refused: says which models a gate kept from promotion. On a cluster, that this task ran is what tells so."""

from labram.events import step
from labram.steps.gate import read_verdicts


def report_gate_failure(*, verdicts: str) -> None:
    """Name every model that is not promoted, and the gates that refused it.

    Args:
        verdicts: Folder that `gate` wrote.
    """
    with step("report_gate_failure") as reporter:
        for verdict in read_verdicts(verdicts):
            if not verdict.passed:
                gates = ", ".join(gate.name for gate in verdict.failed_gates)
                reporter.note(f"{verdict.model} version {verdict.version} is not promoted: {gates}")
