"""Labels of one recording and task, from all tables and paths that state some: each once, none against another."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from labram.datasets.base import StatedLabel
from labram.datasets.stated.label_table import TableError

_SLACK = 1e-6
"""Seconds by which spans may overlap: ends are sums."""


class Origin(NamedTuple):
    """A label, and where it is stated.

    Attributes:
        span: The label.
        table: Name of the table, or what else states it.
        row: Line in the table; 0: it is none.
    """

    span: StatedLabel
    table: str = "the path"
    row: int = 0

    @property
    def start(self) -> float:
        """Start in seconds; before everything for a whole recording."""
        return -math.inf if self.span.onset is None else self.span.onset

    @property
    def stop(self) -> float:
        """End in seconds; after everything for a whole recording."""
        if self.span.onset is None or self.span.duration is None:
            return math.inf
        return self.span.onset + self.span.duration

    def __str__(self) -> str:
        """Return the table with its row, or what else states it."""
        return f"{self.table} row {self.row}" if self.row else self.table


def consistent(place: str, stated: Iterable[Origin], notes: list[str]) -> list[StatedLabel]:
    """Return the labels of one task and recording in the order of their onsets, each once.

    Args:
        place: Path of the recording, for errors.
        stated: The labels.
        notes: Receives a note on each row that repeats another of its table.

    Raises:
        TableError: If two of them overlap and differ.
    """
    first: dict[StatedLabel, Origin] = {}
    longest: Origin | None = None
    other: Origin | None = None  # the one with the latest end among those with another label than `longest`
    for each in sorted(stated, key=lambda origin: (max(origin.start, 0.0), origin.table, origin.row)):
        if before := first.get(each.span):
            if each.row and each.table == before.table:
                notes.append(f"{each.table} row {each.row}: repeats another row; used once")
            continue
        first[each.span] = each
        for earlier in (longest, other):
            if earlier and earlier.span.label != each.span.label and earlier.stop > each.start + _SLACK:
                raise _contradiction(
                    place, *sorted((earlier, each), key=lambda origin: (bool(origin.row), origin.table, origin.row))
                )
        if longest is None or each.stop > longest.stop:
            if longest and longest.span.label != each.span.label:
                other = longest
            longest = each
        elif each.span.label != longest.span.label and (other is None or each.stop > other.stop):
            other = each
    return list(first)


def _contradiction(place: str, one: Origin, two: Origin) -> TableError:
    same = bool(one.row) and one.table == two.table
    rows = f"rows {one.row} and {two.row}" if same else f"{one} and {two}"
    return TableError(
        f"{rows} give overlapping spans of {place} different labels",
        kind=f"{rows} contradict each other",
        file=two.table if two.row else None,
        remedy="Delete one of the rows, or correct its start, duration or recording"
        if same
        else "Correct one of them, or state in `files` of its source which recordings it labels",
    )
