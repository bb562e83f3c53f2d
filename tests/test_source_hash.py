from pathlib import Path

import pytest

from labram.source_hash import hash_with_imports, normalized_source

BEFORE = '''"""A module."""
import math

LIMIT = 3
"""Of something."""

class Thing:
    """A thing."""

    def size(self) -> int:
        """Its size."""
        return LIMIT
'''


def test_docstrings_comments_and_layout_do_not_count(tmp_path: Path):
    path = tmp_path / "module.py"
    path.write_text(BEFORE)
    before = normalized_source(path)
    path.write_text(
        BEFORE.replace("A thing.", "Something else.").replace("Of something", "Of it").replace("    ", "  ")
    )
    assert normalized_source(path) == before
    path.write_text("# A comment\n" + BEFORE.replace('        """Its size."""\n', ""))
    assert normalized_source(path) == before


def test_statements_count(tmp_path: Path):
    path = tmp_path / "module.py"
    path.write_text(BEFORE)
    before = normalized_source(path)
    for old, new in (("LIMIT = 3", "LIMIT = 4"), ("return LIMIT", "return 2 * LIMIT"), ("import math", "import cmath")):
        path.write_text(BEFORE.replace(old, new))
        assert normalized_source(path) != before


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in {
        "base": "import os\n",
        "helper": "import sys\n",
        "a": "from sets import helper\nfrom sets.base import Dataset\n",
        "b": "from sets.base import Dataset\nfrom elsewhere.helper import f\n",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


@pytest.mark.parametrize(("edited", "changed"), [("a", "a"), ("b", "b"), ("helper", "a"), ("base", "ab"), ("new", "")])
def test_a_module_and_its_imports_within_the_package_count(package: Path, edited: str, changed: str):
    before = {name: hash_with_imports(package / f"{name}.py", "sets", package) for name in "ab"}
    with (package / f"{edited}.py").open("a") as file:
        file.write("LIMIT = 1\n")
    after = {name: hash_with_imports(package / f"{name}.py", "sets", package) for name in "ab"}
    assert {name for name in "ab" if before[name] != after[name]} == set(changed)
