"""Tables of predictions, written row by row as CSV or Parquet, or as arrays; a file appears when it is complete."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from labram.atomic import atomic_path
from labram.errors import PlatformError, WindowError

FORMATS = (".csv", ".parquet")
VECTOR_FORMATS = (".parquet", ".npz")
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
        path: File with the suffix ``.csv`` (lists are numbers with spaces), ``.parquet`` or ``.npz`` (one array per
            column, in memory until the end).
        columns: Names and types of the columns.

    Raises:
        PlatformError: If the suffix is another, or the folder cannot be written.
        WindowError: If the lists of a column of ``.npz`` have different lengths.
    """
    check_format(path, (*FORMATS, ".npz"))
    schema = pa.schema([(name, _TYPES.get(kind, kind)) for name, kind in columns.items()])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary, _WRITERS[path.suffix](temporary, schema) as writer:
            yield writer
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


@contextmanager
def _csv(path: Path, schema: pa.Schema) -> Iterator[Writer]:
    with path.open("w", newline="", encoding="utf-8") as file:
        yield _Csv(file, schema)


@contextmanager
def _parquet(path: Path, schema: pa.Schema) -> Iterator[Writer]:
    with pq.ParquetWriter(path, schema) as parquet:
        writer = _Parquet(parquet, schema)
        yield writer
        writer.flush()


@contextmanager
def _npz(path: Path, schema: pa.Schema) -> Iterator[Writer]:
    writer = _Arrays()
    yield writer
    with ZipFile(path, "w") as archive:  # `numpy.savez` has a parameter with the name of our column "file"
        for field in schema:
            with archive.open(f"{field.name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, _array(writer.rows, field), allow_pickle=False)


_WRITERS = {".csv": _csv, ".parquet": _parquet, ".npz": _npz}


class _Csv:
    def __init__(self, file: Any, schema: pa.Schema) -> None:
        self._writer = csv.DictWriter(file, schema.names, lineterminator="\n")
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


class _Arrays:
    def __init__(self) -> None:
        self.rows: list[Mapping[str, object]] = []

    def write(self, rows: Iterable[Mapping[str, object]]) -> None:
        self.rows += rows


def _array(rows: list[Mapping[str, object]], field: pa.Field) -> npt.NDArray[Any]:
    """Return a column as an array; what is missing is NaN, -1 or an empty text."""
    values: list[Any] = [row.get(field.name) for row in rows]
    if not pa.types.is_list(field.type):
        missing = "" if pa.types.is_string(field.type) else -1 if pa.types.is_integer(field.type) else np.nan
        return np.array([missing if value is None else value for value in values])
    lengths = {len(value) for value in values if value is not None}
    if len(lengths) > 1:
        raise WindowError(
            f"the vectors have different lengths: {', '.join(map(str, sorted(lengths)))}",
            field="pool",
            remedy="Write .parquet, use --pool mean, or pass recordings of one montage",
        )
    empty = [np.nan] * (lengths.pop() if lengths else 0)
    return np.array([empty if value is None else value for value in values], dtype=np.float32)


def _text(value: object) -> object:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else value
