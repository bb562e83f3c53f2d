"""Tables that researchers keep beside recordings: CSV and TSV with a header line, as spreadsheets export them.

A byte-order mark, semicolons and decimal commas are understood. What is ambiguous is an error that names file and row.
"""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labram.datasets.containment import lies_inside
from labram.errors import LabelError, ReadError
from labram.signals.readers.limits import read_bytes

SUFFIXES = frozenset({".csv", ".tsv", ".txt"})
SPREADSHEETS = frozenset({".xlsx", ".xls", ".ods"})
_MISSING = frozenset({"", "n/a", "na", "nan", "none", "null", "#n/a", "-"})
_DATE = re.compile(
    r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?)?|\d{1,2}[./]\d{1,2}[./](\d{2}|\d{4})|\d{1,2}-[A-Za-z]{3}|[A-Za-z]{3}-\d{2}"
)


class TableError(LabelError):
    """A table that contradicts itself or the recordings. The problem may quote it: it is for the terminal only.

    Args:
        kind: The problem without any text of the table, for logs.
    """

    def __init__(self, problem: str, *, kind: str, remedy: str, file: str | None, field: str | None = None) -> None:
        self.kind = kind
        super().__init__(problem, remedy=remedy, file=file, field=field)

    def without_path(self) -> LabelError:
        """Return the error without text of the table and paths of recordings, for logs."""
        return LabelError(self.kind, file=self.file, field=self.field, remedy=self.remedy)


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        number: Line in the file, as spreadsheets count: the header is 1.
        cells: Value of each column, without blanks around it.
    """

    number: int
    cells: Mapping[str, str]

    def stated(self, column: str, known: Collection[str] = ()) -> str:
        """Return the value of a column; empty if it is missing or means so (NaN, n/a), unless it is a known value."""
        value = self.cells[column]
        return "" if value.lower() in _MISSING and value not in known else value


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: File name.
        columns: Names of the columns.
        rows: Rows that are not blank.
        decimal_comma: Whether a comma may separate decimals, since it does not separate cells.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    decimal_comma: bool = False

    def require(self, *columns: str) -> None:
        """Check that the table has columns.

        Raises:
            TableError: If one is missing.
        """
        for column in filter(None, columns):
            if column not in self.columns:
                raise TableError(
                    f"the table has no column {column!r}",
                    kind="the table lacks a column",
                    file=self.name,
                    field=column,
                    remedy=f"Use one of its columns: {', '.join(self.columns)}",
                )

    def number(self, row: Row, column: str) -> float:
        """Return the number in a cell.

        Raises:
            TableError: If it is none, or not finite.
        """
        text = row.stated(column)
        if self.decimal_comma and re.fullmatch(r"[+-]?\d*,\d+", text):
            text = text.replace(",", ".")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise TableError(
                f"row {row.number}: expected a number in column {column!r}, got {row.cells[column]!r}",
                kind=f"row {row.number} has no number in column {column!r}",
                file=self.name,
                field=column,
                remedy="Correct the cell"
                + (", with a point as decimal separator" if "," in row.cells[column] else " or delete the row"),
            )
        return value


def read_table(path: Path, folder: Path | None = None) -> Table:
    """Read a CSV or TSV file.

    Args:
        path: The file.
        folder: The dataset's folder, which links must not leave; None: any place.

    Raises:
        TableError: If it is missing or outside, no table, not UTF-8, or a row has another number of cells than the
            header.
    """
    if folder is not None and not lies_inside(path, folder):
        raise _unusable(path, "the table lies outside the folder", "Copy it into the folder of the dataset file")
    if path.suffix.lower() in SPREADSHEETS:
        raise _unusable(path, "a spreadsheet", "Export it as CSV (UTF-8), and name the CSV file")
    try:
        content = read_bytes(path)
    except (OSError, ReadError):
        raise _unusable(
            path, "the table is missing or unreadable", "Check its name, relative to the dataset file"
        ) from None
    text = _decoded(path, content)
    delimiter = _delimiter(path, text)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        numbered = [(lines.line_num, [cell.strip() for cell in cells]) for cells in lines]
    except csv.Error as error:
        raise _unusable(path, f"not a table ({error})", "Export it again as CSV") from None
    numbered = [(number, cells) for number, cells in numbered if any(cells)]
    if len(numbered) < 2:
        raise _unusable(path, "the table has no rows below its header", "Add a header line and the rows")
    (_, header), *rest = numbered
    columns = tuple(header)
    if repeated := [name for name, count in Counter(columns).items() if count > 1 or not name]:
        raise _unusable(path, f"the header repeats or lacks a name ({repeated[0]!r})", "Name each column once")
    return Table(path.name, columns, tuple(_row(path, columns, *line) for line in rest), delimiter != ",")


def _row(path: Path, columns: Sequence[str], number: int, cells: list[str]) -> Row:
    if len(cells) != len(columns):
        raise _unusable(
            path,
            f"row {number} has {len(cells)} cells, the header {len(columns)}",
            "Correct the row; quote cells that contain the separator, such as decimal commas",
        )
    return Row(number, dict(zip(columns, cells, strict=True)))


def _decoded(path: Path, content: bytes) -> str:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise _unusable(path, "the table is not UTF-8 text", "Save it as CSV UTF-8") from None


def _delimiter(path: Path, text: str) -> str:
    """Return what separates the cells: the most frequent of tab, semicolon and comma in the header."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max("\t;,", key=lambda separator: (header.count(separator), separator == ","))


def date_hint(value: str) -> str:
    """Return a hint for a value that a spreadsheet may have turned into a date; else empty."""
    return "; it looks like a date that a spreadsheet made of a name" if _DATE.fullmatch(value) else ""


def _unusable(path: Path, problem: str, remedy: str) -> TableError:
    return TableError(problem, kind=problem, file=path.name, remedy=remedy)
