"""`labram bench`: the benchmarks of a checkout of the repository; the installed package does not contain them."""

import importlib
import sys
from pathlib import Path

import typer

from labram.errors import PlatformError

CHECKOUT = Path(__file__).parents[2]


def add_to(app: typer.Typer, checkout: Path = CHECKOUT) -> None:
    """Add the benchmarks' commands to an application, or one that reports that they are absent."""
    if (checkout / "benchmarks" / "commands.py").is_file():
        sys.path.append(str(checkout))
        app.add_typer(importlib.import_module("benchmarks.commands").app, name="bench")
    else:
        app.command("bench", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(_absent)


def _absent() -> None:
    """Measure speed on this machine; needs a checkout of the repository."""
    raise PlatformError(
        "the benchmarks are not part of the installed package",
        remedy="Clone the repository, run `pip install -e .` there, and use `labram bench`",
    )
