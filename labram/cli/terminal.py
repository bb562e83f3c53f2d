"""Output of commands that is not wrapped, such as paths and JSON; `labram.cli.progress.console` prints the rest."""

import json
from typing import Any

import typer

from labram.printable import printable


def echo(text: object, *, nl: bool = True, err: bool = False, **style: Any) -> None:
    """Print a text without control characters, which the names of files may hold.

    Args:
        text: The text.
        nl: End the line.
        err: Print to standard error.
        **style: See `typer.style`.
    """
    typer.secho(printable(str(text)), nl=nl, err=err, **style)


def echo_json(content: object) -> None:
    """Print a value as one line of JSON."""
    echo(json.dumps(content))
