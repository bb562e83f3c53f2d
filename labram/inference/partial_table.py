"""What an interrupted prediction has done: rows by group of files, beside the table, until the table is complete."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from labram.jsonl import append_rows, write_rows

Group = dict[str, Any]
"""A finished group of files: ``files`` with size and time of change, ``rows``, and ``reasons`` by file."""


class PartialTable:
    """Finished groups of an unfinished table, as JSON lines; the first line states what the rows depend on.

    Args:
        table: The table; the file is hidden beside it.
        settings: What the rows depend on: version of the model and options.
        files: Files of each group of this command, in order. Finished groups are used as long as they are the same.

    Attributes:
        groups: Finished groups that an interrupted command of the same settings left.
    """

    def __init__(self, table: Path, settings: Mapping[str, object], files: Sequence[Sequence[str]]) -> None:
        self.path = table.with_name(f".{table.name}.partial")
        stated = json.loads(json.dumps(settings))
        first, *finished = _complete_lines(self.path) or [None]
        pairs = zip(finished if first == stated else [], files, strict=False)
        self.groups: list[Group] = [group for group, _ in takewhile(lambda pair: _is_same(*pair), pairs)]
        table.parent.mkdir(parents=True, exist_ok=True)
        write_rows(self.path, [stated, *self.groups])

    def add(self, files: Sequence[str], rows: Sequence[Mapping[str, object]], reasons: Mapping[str, str]) -> None:
        """Add a finished group."""
        stats = {name: _stat(name) for name in files}
        append_rows(self.path, {"files": stats, "rows": list(rows), "reasons": dict(reasons)})

    def remove(self) -> None:
        """Delete the file: the table is complete."""
        self.path.unlink(missing_ok=True)


def _complete_lines(path: Path) -> list[Any]:
    """Return the JSON values of a file up to the first incomplete line; a killed process may leave one."""
    lines: list[Any] = []
    with suppress(OSError, ValueError):
        for line in path.read_text(encoding="utf-8").splitlines():
            lines.append(json.loads(line))  # noqa: PERF401 - those before an incomplete one stay
    return lines


def _is_same(group: Group, files: Sequence[str]) -> bool:
    return dict(group["files"]) == {name: _stat(name) for name in files}


def _stat(name: str) -> list[int]:
    try:
        stat = Path(name).stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]
