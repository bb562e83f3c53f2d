"""Every kind of attack has tests: some in each run of the tests, the others in `make attack`."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.attack.__main__ import Counts
from tests.attack.kinds import KINDS, kind_of

ROOT = Path(__file__).parents[2]


def marked(node: ast.AST) -> bool:
    """Return whether a decorator, parameter or `pytestmark` is the marker `attack`."""
    return any(isinstance(part, ast.Attribute) and part.attr == "attack" for part in ast.walk(node))


def functions_of(path: Path) -> dict[str, bool]:
    """Return the tests of a file, and whether each is of `make attack` alone."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), {}
    module = any(isinstance(node, ast.Assign) and "pytestmark" in ast.dump(node) and marked(node) for node in tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            alone = [decorator for decorator in node.decorator_list if not isinstance(decorator, ast.Call)]
            found[node.name] = module or any(map(marked, alone))
    return found


@cache
def files() -> dict[str, dict[str, bool]]:
    return {
        path.relative_to(ROOT).as_posix(): functions_of(path) for path in sorted((ROOT / "tests").rglob("test_*.py"))
    }


def test_every_listed_test_exists() -> None:
    here = files()
    listed = [test.partition("::") for tests in KINDS.values() for test in tests]
    assert [file for file, _, name in listed if file not in here or (name and name not in here[file])] == []


def test_no_test_is_listed_twice() -> None:
    listed = [test for tests in KINDS.values() for test in tests]
    assert len(listed) == len(set(listed))
    assert [test for test in listed if "::" in test and test.partition("::")[0] in listed] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_sample_in_each_run_of_the_tests(kind: str) -> None:
    here = files()
    sample = [name for test in KINDS[kind] for name, attack in named(test, here).items() if not attack]
    assert sample or kind == "generators"


def named(test: str, here: dict[str, dict[str, bool]]) -> dict[str, bool]:
    file, _, name = test.partition("::")
    return {name: here[file][name]} if name else here[file]


def test_inputs_and_outcomes_are_counted_by_kind() -> None:
    counts, file = Counts(), "tests/signals/test_pointers.py::TestX::test_y[z-1]"
    for outcome, inputs in (("passed", [("inputs", 40)]), ("passed", []), ("failed", []), ("skipped", [])):
        when = "setup" if outcome == "skipped" else "call"
        report = pytest.TestReport(file, ("", 0, ""), {}, outcome, None, when, user_properties=inputs)
        counts.pytest_runtest_logreport(report)
    assert counts.inputs == {"pointers": 41}
    assert counts.tests["pointers"] == {"passed": 2, "failed": 1, "skipped": 1}
    assert counts.table().row_count == 2
    assert kind_of("tests/pipelines/test_run.py::test_it_ends_with_a_table_a_report_and_champions") == ""
