"""Match the rows of a table to recordings: by path, file name or stem, by a pattern, or by subject and session."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Protocol

from labram.datasets.base import RecordingFile
from labram.datasets.patterns import composed, search
from labram.datasets.stated.label_table import Row, Table, TableError, date_hint


class Keyed(Protocol):
    """Columns that identify recordings, and the pattern that finds the value of `file` in a path."""

    @property
    def file(self) -> str:
        """Column of the recording."""
        ...

    @property
    def match(self) -> str:
        """Pattern with the group `file`."""
        ...

    @property
    def subject(self) -> str:
        """Column of the subject."""
        ...

    @property
    def session(self) -> str:
        """Column of the session."""
        ...


class Matcher:
    """Finds the recordings of a row.

    Args:
        table: The table.
        keyed: Its columns.
        files: All recordings of the dataset.
    """

    def __init__(self, table: Table, keyed: Keyed, files: Sequence[RecordingFile]) -> None:
        table.require(keyed.file, keyed.subject, keyed.session)
        self._table, self._keyed, self._files = table, keyed, files
        self._by_name: dict[str, list[RecordingFile]] = defaultdict(list)
        for file in files:
            for name in names_of(file.place, keyed.match):
                self._by_name[name].append(file)
        self.unmatched: list[Row] = []
        self.matched: set[str] = set()

    def __iter__(self) -> Iterator[tuple[Row, list[RecordingFile]]]:
        """Yield each row with its recordings; rows without any are collected in `unmatched`.

        Raises:
            TableError: If a row names several recordings as one, or no row of the table matches.
        """
        for row in self._table.rows:
            files = self._recordings(row)
            self.matched.update(file.place for file in files)
            if files:
                yield row, files
            else:
                self.unmatched.append(row)
        if not self.matched and self._files:
            raise self._nothing_matches()

    def describe(self, row: Row) -> str:
        """Return what an unmatched row looked for."""
        value = row.cells[self._keyed.file or self._keyed.subject]
        return f"{self._table.name} row {row.number}: no recording for {value!r}{date_hint(value)}"

    def _recordings(self, row: Row) -> list[RecordingFile]:
        keyed = self._keyed
        if not keyed.file:
            return [file for file in self._files if self._is_of(file, row)]
        name = composed(row.stated(keyed.file).replace("\\", "/").removeprefix("./"))
        found = self._by_name.get(name, [])
        if len(found) > 1 and (keyed.subject or keyed.session):
            found = [file for file in found if self._is_of(file, row)]
        if len(found) > 1 and not keyed.match:
            raise TableError(
                f"row {row.number}: {name!r} names {len(found)} recordings: {found[0].place} and {found[1].place}",
                kind=f"row {row.number} names several recordings",
                file=self._table.name,
                field=keyed.file,
                remedy="Write the path relative to the dataset file",
            )
        return found

    def _is_of(self, file: RecordingFile, row: Row) -> bool:
        pairs = ((self._keyed.subject, file.subject), (self._keyed.session, file.session))
        return all(not column or composed(row.stated(column)) == composed(value) for column, value in pairs)

    def _nothing_matches(self) -> TableError:
        column = self._keyed.file or self._keyed.subject
        value = self._table.rows[0].cells[column]
        file = self._files[0]
        wanted = file.place if self._keyed.file else file.subject
        return TableError(
            f"no row matches a recording: row {self._table.rows[0].number} has {value!r}, a recording is {wanted!r}"
            + date_hint(value),
            kind="no row matches a recording",
            file=self._table.name,
            field=column,
            remedy="Correct the column, or state `match`, a pattern that finds the column's value in the path",
        )


def names_of(place: str, pattern: str) -> set[str]:
    """Return how a table may name a recording: by a pattern, or by its path or the end of it, with suffix or without.

    The path from the dataset's folder is not shortened by folders unless a table does so: ``sub/a.edf`` is also
    ``a.edf``.
    """
    if pattern:
        match = search(pattern, place, "match")
        return {composed(match["file"])} if match and match["file"] else set()
    path = PurePosixPath(composed(place))
    ends = {"/".join(path.parts[start:]) for start in range(len(path.parts))}
    stems = {str(PurePosixPath(end).with_suffix("")) for end in ends if PurePosixPath(end).suffix}
    return ends | stems
