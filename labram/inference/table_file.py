"""Tables of predictions, written row by row as CSV or Parquet; the file appears when it is complete."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from labram.atomic import atomic_path
from labram.errors import PlatformError

FORMATS = (".csv", ".parquet")
_ROWS_AT_ONCE = 1000
_DIGITS = 9
"""Significant digits of CSV: probabilities near 1 remain distinct."""


class Writer(Protocol):
    """Receives rows in order."""

    def write(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Write rows; absent columns are empty."""
        ...


@contextmanager
def table_file(path: Path, columns: Mapping[str, type | pa.DataType]) -> Iterator[Writer]:
    """Yield a writer of a table; on an error, a file that was there before stays as it was.

    Args:
        path: File with the suffix ``.csv`` or ``.parquet``.
        columns: Names and types of the columns. CSV cannot hold lists.

    Raises:
        PlatformError: If the suffix is another, or the folder cannot be written.
    """
    check_format(path, FORMATS)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            if path.suffix == ".csv":
                with temporary.open("w", newline="", encoding="utf-8") as file:
                    yield _Csv(file, columns)
            else:
                schema = pa.schema([(name, _TYPES.get(kind, kind)) for name, kind in columns.items()])
                with pq.ParquetWriter(temporary, schema) as parquet:
                    writer = _Parquet(parquet, schema)
                    yield writer
                    writer.flush()
    except OSError as error:
        raise PlatformError(
            f"the table cannot be written ({error.strerror})",
            file=path.name,
            field="out",
            remedy="Choose a writable folder with free space",
        ) from error


def check_format(path: Path, formats: Iterable[str]) -> None:
    """Check the suffix of an output file.

    Raises:
        PlatformError: If it is none of `formats`.
    """
    if path.suffix not in formats:
        raise PlatformError(
            f"unknown format {path.suffix or path.name!r}",
            file=path.name,
            field="out",
            remedy=f"Name a file with the suffix {' or '.join(formats)}",
        )


_TYPES: Mapping[Any, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


class _Csv:
    def __init__(self, file: Any, columns: Mapping[str, object]) -> None:
        self._writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        self._writer.writeheader()

    def write(self, rows: Iterable[Mapping[str, object]]) -> None:
        self._writer.writerows({name: _text(value) for name, value in row.items()} for row in rows)


class _Parquet:
    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema) -> None:
        self._writer, self._schema = writer, schema
        self._rows: list[Mapping[str, object]] = []

    def write(self, rows: Iterable[Mapping[str, object]]) -> None:
        self._rows += rows
        if len(self._rows) >= _ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []


def _text(value: object) -> object:
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else value
