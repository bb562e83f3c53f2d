"""The log of test uses: one line whenever recordings are opened to test a model, in the workspace beside all runs.

A test set that is looked at again and again, with models changed in between, is no longer unseen. So every score
states how often its test recordings have been used.
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from labram.jsonl import append_rows, read_rows


def log_use(log: Path, rows: pd.DataFrame, *, task: str, purpose: str, run: str) -> int:
    """Append one line to the log, and return how many it now has for these test recordings and this task.

    The recordings are identified by their content, so the order of files and the subject key do not matter.

    Args:
        log: The file; it is created if absent.
        rows: Rows of the catalogue of the tested recordings.
        task: Name of the task.
        purpose: What the test is for.
        run: Name of the pipeline run, or of the command.

    Raises:
        OSError: If the file cannot be written.
    """
    test_set = _digest(rows["content_hash"])
    append_rows(
        log,
        {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "task": task,
            "test_set": test_set,
            "subjects": int(rows["subject_key"].nunique()),
            "recordings": len(rows),
            "purpose": purpose,
            "run": run,
        },
    )
    return sum(row["task"] == task and row["test_set"] == test_set for row in read_rows(log))


def _digest(content_hashes: Iterable[str]) -> str:
    return hashlib.sha256(" ".join(sorted(content_hashes)).encode()).hexdigest()[:16]
