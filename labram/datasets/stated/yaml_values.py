"""Labels and units in a dataset file: YAML reads some labels as numbers or truth values."""

import re
from typing import Annotated

from pydantic import BeforeValidator


def _text(value: object) -> object:
    """Return a label as text; YAML reads `1` as a number and `no` as a truth value."""
    if isinstance(value, bool):
        raise ValueError(  # noqa: TRY004 - pydantic explains a ValueError
            f"YAML reads this label as {str(value).lower()}; put it into quotes, such as 'no'"
        )
    return str(value) if isinstance(value, int | float) else value


def _values(value: object) -> object:
    """Return a mapping of labels with keys as text."""
    return {_text(key): label for key, label in value.items()} if isinstance(value, dict) else value


Label = Annotated[str, BeforeValidator(_text)]
"""A label or class."""
Values = Annotated[dict[str, Label | None], BeforeValidator(_values)]
"""Classes by label; None: not used."""


def microvolts(unit: str) -> float:
    """Return the value of a unit such as V, mV, µV, uV, nV or ``100 µV`` in µV.

    Raises:
        ValueError: If it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)?\s*(V|mV|[µμu]V|nV)", unit.strip())
    if match is None:
        raise ValueError(f"unknown unit {unit!r}; write V, mV, µV or nV, or a multiple such as 100 µV")
    factors = {"V": 1e6, "mV": 1e3, "nV": 1e-3}
    factor = float(match[1] or 1.0) * factors.get(match[2], 1.0)
    if not factor:
        raise ValueError(f"{unit!r} is no unit: every value would be zero")
    return factor
