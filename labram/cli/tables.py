"""Tables on a terminal: nothing is cut off, however narrow it is."""

from collections.abc import Collection

from rich import box
from rich.table import Table


def new_table(*columns: str, whole: Collection[str] = (), title: str | None = None) -> Table:
    """Return an empty table whose cells continue on the next line where they do not fit.

    Args:
        columns: Headers.
        whole: Headers of the columns whose cells are to stay on one line, such as names to copy.
        title: Title above the table.
    """
    lean = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        lean.add_column(column, no_wrap=column in whole, overflow="fold")
    return lean
