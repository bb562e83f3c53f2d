"""Jinja templates of the report pages."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined


@cache
def environment() -> Environment:
    """Return the Jinja environment: values are escaped, undefined names raise an error."""
    return Environment(
        loader=PackageLoader("labram.reporting", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
