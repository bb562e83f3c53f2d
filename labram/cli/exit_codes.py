"""Exit codes of all commands; the table in docs/cli.md is generated from `TABLE`."""

from typing import NamedTuple

from labram.platform.run_result import RunOutcome

DONE, ERROR, INTERRUPTED, TERMINATED = 0, 1, 130, 143
USAGE = NOT_OPEN = 2
NOT_PROMOTED = DIFFERS = 3
WITHIN_TOLERANCE, DIFFERENT = 4, 5
SOME_NOT_PREDICTED = 6


class Row(NamedTuple):
    """One exit code of some commands; no commands means all of them."""

    code: int
    commands: tuple[str, ...]
    meaning: str


PIPELINES = ("run", "adapt", "study", "pipeline submit")
REPRODUCTIONS = ("reproduce", "pipeline submit")
TABLE = (
    Row(DONE, (), "done; of a run: promoted, awaiting approval, or unchanged since a run that ended with 0"),
    Row(ERROR, (), "error: the message names the problem and a remedy"),
    Row(USAGE, (), "wrong usage: unknown option, missing argument"),
    Row(NOT_OPEN, ("corpus fetch",), "not openly available: the message says how to apply"),
    Row(NOT_PROMOTED, ("run", "adapt", "pipeline submit"), "a gate failed; or unchanged since such a run"),
    Row(DIFFERS, ("corpus version",), "the data or `data.dvc` differ from the commit"),
    Row(WITHIN_TOLERANCE, REPRODUCTIONS, "not bit-equal, but within the tolerance that other hardware is granted"),
    Row(DIFFERENT, REPRODUCTIONS, "an artifact differs from the original's"),
    Row(
        SOME_NOT_PREDICTED,
        ("predict", "embed", "tokens"),
        "some files not predicted, embedded or tokenized: the table has their reasons; `--allow-missing` makes it 0",
    ),
    Row(INTERRUPTED, PIPELINES, "interrupted; on a cluster: canceled, or you stopped waiting for it"),
    Row(TERMINATED, ("train",), "SIGTERM received; a checkpoint was written"),
)


def of_result(outcome: str) -> int:
    """Return the exit code of a finished run, and of later runs that repeat its result."""
    codes = {
        RunOutcome.NOT_PROMOTED.value: NOT_PROMOTED,
        RunOutcome.WITHIN_TOLERANCE.value: WITHIN_TOLERANCE,
        RunOutcome.DIFFERENT.value: DIFFERENT,
    }
    return codes.get(outcome, DONE)
