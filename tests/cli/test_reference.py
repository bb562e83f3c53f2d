"""The generated pages of the documentation match the code."""

import re
from pathlib import Path

import pytest
import typer

from labram.cli import app
from labram.cli.exit_codes import TABLE
from labram.cli.reference import cli_page, environment_page, names_in
from labram.environment import TESTS, VARIABLES

ROOT = Path(__file__).parents[2]
REMEDY = "run `python -m labram.cli.reference`"
DOCUMENTED = [entry.name for entries in VARIABLES.values() for entry in entries]


def commands(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize(("name", "page"), [("cli.md", cli_page), ("environment.md", lambda: environment_page(ROOT))])
def test_a_generated_page_matches_the_code(name, page):
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == page(), REMEDY


def test_every_variable_that_the_source_reads_is_documented():
    assert set(names_in(ROOT)) - set(DOCUMENTED) == set()


def test_every_documented_variable_is_read():
    test_sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    used = {entry.name for entry in TESTS if f'"{entry.name}"' in test_sources} | set(names_in(ROOT))
    assert set(DOCUMENTED) - used == set()
    assert len(DOCUMENTED) == len(set(DOCUMENTED))


@pytest.mark.parametrize("name", [name for name in COMMANDS if not name.startswith("bench")])
def test_the_exit_codes_in_the_help_are_those_of_the_table(name):
    stated = re.findall(r"(?:Exit codes[^:]*: |Without --wait: |; )(\d+)", " ".join(COMMANDS[name].help.split()))
    general, own = ({row.code for row in TABLE if test(row)} for test in (
        lambda row: not row.commands, lambda row: name in row.commands
    ))  # fmt: skip
    assert set(map(int, stated)) == (general - {2}) | own


def test_the_table_names_only_commands_that_exist():
    assert {name for row in TABLE for name in row.commands} <= set(COMMANDS)


def test_every_name_given_to_os_environ_is_looked_for():
    """A variable without one of the known prefixes would escape `names_in`."""
    read = re.compile(r"environ(?:\.get\(|\.setdefault\(|\[)\"([A-Z0-9_]+)\"")
    sources = [path.read_text() for top in ("labram", "components", "pipelines") for path in (ROOT / top).rglob("*.py")]
    assert {name for source in sources for name in read.findall(source)} - {"PATH", "HOME"} <= set(names_in(ROOT))
