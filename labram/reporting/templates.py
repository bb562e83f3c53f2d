"""The templates that all pages are made from."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined


@cache
def environment() -> Environment:
    """Escapes what it is given, and refuses names that it is not given."""
    return Environment(
        loader=PackageLoader("labram.reporting", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
