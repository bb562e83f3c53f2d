"""Exit codes of all commands; the table in docs/cli.md is generated from `TABLE`."""

from typing import NamedTuple

DONE, ERROR, INTERRUPTED, TERMINATED = 0, 1, 130, 143
USAGE = NOT_OPEN = 2
NOT_PROMOTED = DIFFERS = 3


class Row(NamedTuple):
    """One exit code of some commands; no commands means all of them."""

    code: int
    commands: tuple[str, ...]
    meaning: str


PIPELINES = ("run", "adapt", "study", "pipeline submit")
TABLE = (
    Row(DONE, (), "done; of a run: promoted, or unchanged since the last run"),
    Row(ERROR, (), "error: the message names the problem and a remedy"),
    Row(USAGE, (), "wrong usage: unknown option, missing argument"),
    Row(NOT_OPEN, ("corpus fetch",), "not openly available: the message says how to apply"),
    Row(NOT_PROMOTED, ("run", "adapt", "pipeline submit"), "not promoted: at least one model failed a gate"),
    Row(DIFFERS, ("corpus version",), "the data or `data.dvc` differ from the commit"),
    Row(INTERRUPTED, PIPELINES, "interrupted; on a cluster: canceled, or you stopped waiting for it"),
    Row(TERMINATED, ("train",), "SIGTERM received; a checkpoint was written"),
)
