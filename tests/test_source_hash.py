from pathlib import Path

from labram.source_hash import code

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


def test_words_and_layout_are_no_code(tmp_path: Path):
    path = tmp_path / "module.py"
    path.write_text(BEFORE)
    before = code(path)
    path.write_text(
        BEFORE.replace("A thing.", "Something else.").replace("Of something", "Of it").replace("    ", "  ")
    )
    assert code(path) == before
    path.write_text("# A comment\n" + BEFORE.replace('        """Its size."""\n', ""))
    assert code(path) == before


def test_what_is_done_is_code(tmp_path: Path):
    path = tmp_path / "module.py"
    path.write_text(BEFORE)
    before = code(path)
    for old, new in (("LIMIT = 3", "LIMIT = 4"), ("return LIMIT", "return 2 * LIMIT"), ("import math", "import cmath")):
        path.write_text(BEFORE.replace(old, new))
        assert code(path) != before
