"""YAML of recipes and dataset files: a key that is stated twice is an error, not the last of the two.

Texts of digits stay texts where YAML 1.1 has another number for them than people read: ``010`` is no 8, ``1:30`` no 90.
"""

import re
from pathlib import Path
from typing import Any

import yaml

_MOST_BYTES = 1 << 20
_MOST_DEPTH = 64
_MOST_MERGED = 10_000
"""Keys that `<<` may add to all mappings together: a merge of merges grows as a power."""
_MISREAD = re.compile(r"[-+]?0[0-9_]+|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
"""Octal and sexagesimal numbers of YAML 1.1."""


class _Loader(yaml.SafeLoader):
    """A safe loader that rejects repeated keys, and nesting and merges beyond those of any settings."""

    depth = merged = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > _MOST_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        tag = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        misread = kind is yaml.ScalarNode and implicit[0] and _MISREAD.fullmatch(value)
        return self.DEFAULT_SCALAR_TAG if misread else tag

    def flatten_mapping(self, node: Any) -> None:
        before = len(node.value)
        super().flatten_mapping(node)
        self.merged += max(0, len(node.value) - before)
        if self.merged > _MOST_MERGED:
            raise yaml.MarkedYAMLError(problem="too many merged keys", problem_mark=node.start_mark)

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            name = (key.tag, str(key.value))
            if name in seen and isinstance(key, yaml.ScalarNode) and key.value != "<<":
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} is repeated", problem_mark=key.start_mark)
            seen.add(name)
        return node


def parse(text: str) -> Any:
    """Return the values of a YAML text.

    Raises:
        yaml.YAMLError: If it is not valid, has a key twice, or is nested too deeply.
    """
    return yaml.load(text, _Loader)  # noqa: S506  a safe loader


def read_text(path: Path) -> str:
    """Return the text of a YAML file, with or without a byte-order mark.

    Raises:
        OSError: If it is no regular file, cannot be read, or is larger than any.
        UnicodeDecodeError: If it is not UTF-8.
    """
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        raise OSError("not a file of settings")
    return path.read_text(encoding="utf-8-sig")
