"""Tables of samples as text: a row a sample, a column a channel. What the columns mean, each dataset says itself."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labram.signals.readers.errors import empty, unreadable


def read_columns(
    path: Path,
    wanted: range | Callable[[str], bool],
    *,
    separator: str = ",",
    skip: int = 0,
    header: bool = True,
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Names and values [columns, rows] of some columns.

    Args:
        path: The file.
        wanted: Places of the columns, from 0, or whether a name is wanted.
        separator: Between cells.
        skip: Lines before the table.
        header: Whether the table's first line names its columns.

    Raises:
        ReadError: If there is no row, or a cell is not a number.
    """
    try:
        table = pd.read_csv(
            path,
            sep=separator,
            skiprows=skip,
            header=0 if header else None,
            usecols=wanted,
            dtype=np.float32,
            skipinitialspace=True,
        )
    except (ValueError, pd.errors.ParserError):  # such as a column that is not there
        raise unreadable(path, "no table of numbers") from None
    if table.empty:
        raise empty(path)
    return tuple(map(str, table.columns)), np.ascontiguousarray(table.to_numpy().T)
