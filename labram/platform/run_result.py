"""The result of a run, `result.json`: outcomes, and reading results that earlier releases wrote."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

from labram.errors import PlatformError


class RunOutcome(StrEnum):
    """Outcome of a run."""

    PROMOTED = "promoted"
    NOT_PROMOTED = "not promoted"
    """At least one model failed a gate; models that passed theirs are promoted."""
    AWAITING_APPROVAL = "awaiting approval"
    """All gates passed, and the recipe requires a person's approval (``gates.approval: required``)."""
    COMPARED = "compared"
    """A study, which promotes nothing."""
    BIT_EQUAL = "bit-equal"
    """A reproduction whose artifacts are all equal to the original's."""
    WITHIN_TOLERANCE = "within tolerance"
    """A reproduction that differs by no more than its other hardware explains."""
    DIFFERENT = "different"
    """A reproduction of which an artifact differs from the original's."""
    UNCHANGED = "unchanged"
    """Corpus, recipe, code and backbone are those of an earlier run; nothing is written."""
    ERROR = "error"
    """A step failed; nothing is written, so that the same command resumes the run."""


NOT_PROMOTED = (RunOutcome.NOT_PROMOTED.value, "refused")
"""How this release and earlier ones name the outcome of a run with a failed gate."""


def read_result(path: Path) -> dict[str, Any]:
    """Return the contents of a `result.json`, those of earlier releases in today's words.

    Raises:
        PlatformError: If the file is damaged.
    """
    try:
        result = dict(json.loads(path.read_text(encoding="utf-8")))
        return _in_todays_words(result)
    except (ValueError, TypeError, KeyError) as error:
        raise PlatformError("the result of this run is damaged", file=path, remedy="Run again with --force") from error


def _in_todays_words(result: dict[str, Any]) -> dict[str, Any]:
    if result["outcome"] in NOT_PROMOTED:
        result["outcome"] = RunOutcome.NOT_PROMOTED.value
    if "refused" in result:
        result["failed_gates"] = result.pop("refused")
    for task in result.get("tasks", ()):
        if task["gate"] == "refused":
            task["gate"] = "failed"
        task.setdefault("against_baseline", "better, see the report" if task.get("beats_baseline") else "no")
    return result
