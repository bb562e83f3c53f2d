"""Source code without comments, docstrings and layout, for keys that must change with the code only."""

import ast
from pathlib import Path


def code(path: Path) -> bytes:
    """Return a module's source without comments, docstrings and layout."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        for _, body in ast.iter_fields(node):
            if isinstance(body, list):
                body[:] = [part for part in body if not _is_text(part)]
    return ast.unparse(tree).encode()


def _is_text(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
