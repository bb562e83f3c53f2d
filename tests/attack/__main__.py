"""Run the attacks and print how many were tried, by kind: ``python -m tests.attack [KIND …] [options of pytest]``."""

import sys
from collections import Counter, defaultdict

import pytest
from rich.console import Console
from rich.table import Table

from tests.attack.kinds import KINDS, kind_of

OTHER = "other"
"""Tests that take long and are no attack."""
OUTCOMES = ("passed", "failed", "skipped")


class Counts:
    """A plugin of pytest that counts tests and their inputs by kind.

    A test that tries several inputs states their number: ``record_property("inputs", 40)``.
    """

    def __init__(self) -> None:
        self.tests: dict[str, Counter[str]] = defaultdict(Counter)
        self.inputs: Counter[str] = Counter()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Of tests without a kind, keep those that take so long that only this command runs them."""
        items[:] = [item for item in items if kind_of(item.nodeid) or item.get_closest_marker("attack")]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        kind = kind_of(report.nodeid) or OTHER
        if report.when == "call" or report.outcome != "passed":
            self.tests[kind][report.outcome] += 1
        if report.when == "call" and report.outcome == "passed":
            stated = [int(str(value)) for name, value in report.user_properties if name == "inputs"]
            self.inputs[kind] += sum(stated) or 1

    def table(self) -> Table:
        table = Table("kind", "inputs", *OUTCOMES)
        for kind in (*KINDS, OTHER):
            if self.tests[kind]:
                table.add_row(kind, str(self.inputs[kind]), *(str(self.tests[kind][name]) for name in OUTCOMES))
        total = sum(self.tests.values(), Counter[str]())
        table.add_row("all", str(self.inputs.total()), *(str(total[name]) for name in OUTCOMES), style="bold")
        return table


def main(arguments: list[str]) -> int:
    """Run all kinds, or those that are named; return pytest's exit code."""
    kinds = [argument for argument in arguments if argument in KINDS]
    options = [argument for argument in arguments if argument not in KINDS]
    counts = Counts()
    tests = [test for kind in kinds for test in KINDS[kind]] or ["tests"]
    code = pytest.main(["-q", "-m", "attack or not attack", *options, *tests], plugins=[counts])
    Console().print(counts.table())
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
