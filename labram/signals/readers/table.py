"""Text tables with a row for each sample and a column for each channel; dataset adapters interpret them."""

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
    """Read names and values [columns, rows] of some columns.

    Args:
        path: The file.
        wanted: Indices of the columns from 0, or a function that selects column names.
        separator: Separator of cells.
        skip: Number of lines before the table.
        header: Whether the first line of the table has column names.

    Raises:
        ReadError: If the table has no rows, or a cell is not a number.
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
    except (ValueError, pd.errors.ParserError):  # such as a missing column
        raise unreadable(path, "not a numeric table") from None
    if table.empty:
        raise empty(path)
    return tuple(map(str, table.columns)), np.ascontiguousarray(table.to_numpy().T)
