"""The result of a run, `result.json`: outcomes, and reading results that earlier releases wrote."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Any


class Outcome(StrEnum):
    """Outcome of a run."""

    PROMOTED = "promoted"
    NOT_PROMOTED = "not promoted"
    """At least one model failed a gate; models that passed theirs are promoted."""
    COMPARED = "compared"
    """A study, which promotes nothing."""
    UNCHANGED = "unchanged"
    """Corpus, recipe, code and backbone are those of an earlier run; nothing is written."""
    ERROR = "error"
    """A step failed; nothing is written, so that the same command resumes the run."""


def read_result(path: Path) -> dict[str, Any]:
    """Return the contents of a `result.json`, those of earlier releases in today's words."""
    result = dict(json.loads(path.read_text(encoding="utf-8")))
    if result["outcome"] == "refused":
        result["outcome"] = Outcome.NOT_PROMOTED.value
    if "refused" in result:
        result["failed_gates"] = result.pop("refused")
    for task in result.get("tasks", ()):
        if task["gate"] == "refused":
            task["gate"] = "failed"
    return result
