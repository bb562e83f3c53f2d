"""JSON lines files: one JSON value a line."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


def append_rows(path: Path | str, *rows: Row) -> None:
    """Append rows in a single `write`, so that rows of concurrent processes never interleave.

    If the system writes a part only, the rest follows. Values that JSON lacks are written as text.

    Raises:
        OSError: If they cannot be written, or not to their end.
    """
    content = memoryview(_text(rows).encode())
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
    finally:
        os.close(descriptor)


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a file that holds exactly these rows."""
    path.write_text(_text(rows), encoding="utf-8")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return all rows of a file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If a line is not JSON.
    """
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _text(rows: Iterable[Row]) -> str:
    return "".join(json.dumps(row, default=str) + "\n" for row in rows)
