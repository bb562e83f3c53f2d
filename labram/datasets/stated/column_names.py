"""What columns of a table seem to be, by their names and values."""

import re

from labram.datasets.stated.label_table import Table

START = re.compile(r"onset|start|begin|from|t0", re.IGNORECASE)
DURATION = re.compile(r"dur|length|len", re.IGNORECASE)
STOP = re.compile(r"stop|end|offset|until", re.IGNORECASE)
GROUP_WORDS = "dyad|triad|pair|paar|couple|family|group|team"
GROUP = re.compile(rf"{GROUP_WORDS}|famil|site|cent(er|re)", re.IGNORECASE)
SESSION = re.compile(r"sess|visit|run|day", re.IGNORECASE)
PERSONAL = re.compile(r"\b(age|sex|gender|birth|dob|name|mail|address|phone|alter|geschlecht)\b", re.IGNORECASE)
MOST_CLASSES = 12


def first_named(table: Table, rule: re.Pattern[str], used: set[str], *, numbers: bool = True) -> str:
    """Return the first column whose name fits a rule; of times, one with numbers."""
    for column in table.columns:
        if column not in used and rule.search(column):
            values = [row.stated(column) for row in table.rows]
            if not numbers or all(re.fullmatch(r"[+-]?\d*[.,]?\d+", value) for value in values if value):
                return column
    return ""


def few_values(table: Table, column: str) -> tuple[str, ...]:
    """Return the distinct values of a column if there are few, in order of first appearance."""
    values = tuple(dict.fromkeys(value for row in table.rows if (value := row.stated(column))))
    return values if 2 <= len(values) <= min(MOST_CLASSES, max(2, len(table.rows) // 2)) else ()
