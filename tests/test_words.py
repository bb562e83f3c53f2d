"""Words that the project retired stay out of help, errors, docstrings and documentation; Markdown lines stay short."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from labram import errors
from labram.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for folder in ("docs", "k8s", "benchmarks") for page in (ROOT / folder).rglob("*.md"))]
)
TEXTS = sorted([*(ROOT / "labram" / "recipes").glob("*.yaml"), *(ROOT / "labram" / "reporting").glob("*.html")])
MARKUP = re.compile(r"<style.*?</style>|\{[%#{].*?[%#}]\}|<[^>]*>|`+[^`]*`+", re.DOTALL)
GENERATED = {"cli.md"}
SOURCES = sorted(path for part in ("labram", "components", "pipelines") for path in (ROOT / part).rglob("*.py"))
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
SHOWN = {"remedy", "description"}
ERRORS = {name for name in vars(errors) if name.endswith(("Error", "Warning"))}
RETIRED = {
    r"mend(s|ed|ing)?": "fix",
    r"beyond doubt": "significantly",
    r"go(es|ing|ne)? on": "resume, continue",
    r"(?<!so )that there (is|are)": "existing",
    r"gives (the|a|an)|; gives": "returns",
    r"(take|takes|taken|took|taking) in": "ingest",
    r"mains": "line frequency, line noise",
    r"of (its|their|one's) own": "its own, separate",
    r"told": "logged, reported",
    r"speaks?|speaking|spoken": "logs, reports",
    r"(says|said) (so|otherwise)|unless it is said": "reports; override",
    r"checksum is another": "checksum mismatch: expected A, got B",
    r"begun otherwise": "written with other settings",
    r"(?<!connection )refus(e|es|ed|ing|als?)": "quarantined (file), not promoted (model), rejected",
    r"whoever|nobody|lest|unto": "plain words",
    r"figures": "metrics",
    r"(matrix|float32) products?": "matrix multiplication, matmul",
    r"trials? of (a|the) study|(a|the) study's trials?": "ablation run",
    r"resamplings|resampling of subjects": "bootstrap",
    r"makes of (a|the|its)": "throughput",
    r"nothing to do(?! with)": "unchanged",
}
PATTERN = re.compile("|".join(rf"(?P<w{number}>\b(?:{word})\b)" for number, word in enumerate(RETIRED)), re.IGNORECASE)


def retired_in(text: str) -> list[str]:
    """Return the retired words in a text, each with its replacement."""
    replacements = list(RETIRED.values())
    return [
        f"{match[0]!r} (write: {replacements[int(str(match.lastgroup)[1:])]})"
        for match in PATTERN.finditer(" ".join(text.split()))
    ]


def commands(group, path: str = "labram") -> Iterator[tuple[str, object]]:
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{path} {name}")


def messages(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the literal texts of errors, warnings and descriptions of settings with their lines."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ERRORS or name == "warn" or any(keyword.arg in SHOWN for keyword in node.keywords):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.lineno, part.value


def docstrings(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the docstrings of a module and of its public classes and functions, without code, with their lines."""
    if isinstance(node, DOCUMENTED) and not getattr(node, "name", "").startswith("_"):
        yield getattr(node, "lineno", 1), MARKUP.sub("", ast.get_docstring(node) or "")
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for child in node.body:
                yield from docstrings(child)


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a Markdown page outside code blocks."""
    fenced = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


@pytest.mark.parametrize(("name", "command"), commands(typer.main.get_command(app)), ids=lambda value: str(value))
def test_help_has_no_retired_word(name: str, command: typer.core.TyperCommand) -> None:
    texts = [command.help or "", *(getattr(parameter, "help", None) or "" for parameter in command.params)]
    assert [word for text in texts for word in retired_in(text)] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_errors_and_docstrings_have_no_retired_word(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    plots = "reporting" in path.parts  # their figures are drawings
    texts = [
        *messages(tree),
        *((line, re.sub(r"(?i)figures", "", text) if plots else text) for line, text in docstrings(tree)),
    ]
    assert [f"line {line}: {word}" for line, text in texts for word in retired_in(text)] == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_recipes_and_reports_have_no_retired_word(path: Path) -> None:
    assert retired_in(MARKUP.sub("", path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_have_no_retired_word(page: Path) -> None:
    paragraphs = re.sub(r"`[^`]*`", "", "\n".join(line for _, line in prose(page)))
    assert retired_in(paragraphs) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_of_a_page_are_short(page: Path) -> None:
    long = [
        f"line {number}: {len(line)} characters"
        for number, line in prose(page)
        if len(line) > 120 and not line.lstrip().startswith("|") and "](http" not in line
    ]
    assert long == [] or page.name in GENERATED
