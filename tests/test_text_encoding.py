"""Text is UTF-8 in every file and pipe, and output in any locale is never an error."""

import ast
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import pytest
from rich.console import Console

from labram import logs
from labram.child_process import ChildProcess
from labram.cli import progress
from labram.source_hash import hash_with_imports

ROOT = Path(__file__).parents[1]
ROOMS = ("labram", "components", "pipelines", "benchmarks", "k8s")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def unstated(call: ast.Call) -> bool:
    """Return whether a call reads or writes text in the locale's encoding. Calls of modules are functions of others."""
    named = {keyword.arg for keyword in call.keywords}
    if "encoding" in named:
        return False
    match call.func:
        case ast.Attribute(value=ast.Name(id="files" | "wheel" | "os" | "gzip" | "tarfile" | "archive")):
            return False
        case ast.Attribute(attr="read_text"):
            return not call.args
        case ast.Attribute(attr="write_text"):
            return True
        case ast.Attribute(attr="run" | "Popen" | "check_output"):
            return bool(named & {"text", "universal_newlines"})
        case ast.Name(id="open") | ast.Attribute(attr="open"):
            texts = [str(node.value) for node in ast.walk(call) if isinstance(node, ast.Constant)]
            return not any(re.fullmatch("[rwxa][b+]*b[b+]*", text) for text in texts)
    return False


def calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call):
            yield node


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("path.read_text()", True),
        ("path.read_text('latin1')", False),
        ("path.write_text(text)", True),
        ("path.write_text(text, encoding='utf-8')", False),
        ("open(path)", True),
        ("path.open('rb')", False),
        ("subprocess.run(command, text=True)", True),
        ("subprocess.run(command, encoding='utf-8')", False),
    ],
)
def test_an_unstated_encoding_is_found(call: str, expected: bool) -> None:
    node = ast.parse(call, mode="eval").body
    assert isinstance(node, ast.Call)
    assert unstated(node) is expected


def test_every_text_file_and_pipe_has_a_stated_encoding() -> None:
    found = [f"{path.relative_to(ROOT)}:{call.lineno}" for path in SOURCES for call in calls(path) if unstated(call)]
    assert found == []


@contextmanager
def latin1_terminal() -> Iterator[io.BytesIO]:
    """Make standard output a terminal of ISO-8859-1; yield what it received."""
    screen = io.BytesIO()
    with redirect_stdout(io.TextIOWrapper(screen, encoding="iso-8859-1", write_through=True)):
        logs.escape_unencodable()
        yield screen


def test_what_an_encoding_lacks_is_escaped() -> None:
    with latin1_terminal() as screen:
        print("5 µV … \udcfc.edf")
        assert screen.getvalue() == b"5 \xb5V \\u2026 \\udcfc.edf\n"


def test_progress_uses_characters_of_the_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "console", Console(force_terminal=True, width=80, color_system=None))
    with latin1_terminal() as screen:
        with progress.Bar("ingest") as bar:
            bar.progress(2, 2, reused=0)
        assert b"* ingest" in screen.getvalue()
        assert b"\\u" not in screen.getvalue()


def test_what_a_library_prints_in_a_child_process_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    child = ChildProcess(["-c", "print('\u2713')"], quiet=True)
    assert child.wait() == 0
    child.stop()


def test_the_hash_of_a_source_file_does_not_depend_on_the_locale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "module.py"
    module.write_text("unit = '\u00b5V \u2026'\n", encoding="utf-8")
    expected = hash_with_imports(module, "package", tmp_path)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: pytest.fail("source files are bytes to the parser"))
    assert hash_with_imports(module, "package", tmp_path) == expected
