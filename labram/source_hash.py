"""Hashes of source code for cache keys. Comments, docstrings and layout do not count."""

import ast
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path


def normalized_source(path: Path) -> bytes:
    """Return a module's source without comments, docstrings and layout."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        for _, body in ast.iter_fields(node):
            if isinstance(body, list):
                body[:] = [part for part in body if not _is_text(part)]
    return ast.unparse(tree).encode()


def hash_sources(paths: Iterable[Path]) -> str:
    """Return the hash of several modules, in the given order: 12 hexadecimal digits."""
    digest = sha256()
    for path in paths:
        digest.update(normalized_source(path))
    return digest.hexdigest()[:12]


def hash_with_imports(path: Path, package: str, folder: Path) -> str:
    """Return the hash of a module and of everything it imports from one package, directly or indirectly.

    Args:
        path: The module.
        package: Name of the package, such as ``labram.datasets``. Imports from elsewhere do not count.
        folder: Folder of the package.
    """
    modules, pending = set[Path](), [path.resolve()]
    while pending:
        module = pending.pop()
        if module not in modules:
            modules.add(module)
            pending += _imports(module, package, folder.resolve())
    return hash_sources(sorted(modules))


def _imports(path: Path, package: str, folder: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.startswith(f"{package}."):
                imported = folder.joinpath(*name.removeprefix(f"{package}.").split(".")).with_suffix(".py")
                if imported.is_file():
                    yield imported


def _is_text(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
