"""Shortcuts through KFP, set in this process when this module is imported; they change no result.

KFP asks for the name of the calling function each time that a resource of a task is set, for which Python looks through
all loaded modules, and it parses YAML in Python. Both took most of the time before the first task of a run.
"""

import sys
from types import SimpleNamespace
from typing import Any

import yaml
from kfp.dsl import pipeline_task, structures

SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""PyYAML's parser in C, if this PyYAML has it."""


def _stack() -> list[tuple[Any, ...]]:
    """Return the part of `inspect.stack` that KFP reads: the name of the second function."""
    return [(), (None, None, None, sys._getframe(2).f_code.co_name)]


pipeline_task.inspect = SimpleNamespace(stack=_stack)
structures.yaml = SimpleNamespace(
    safe_load=lambda text: yaml.load(text, SafeLoader),  # noqa: S506  a safe loader
    safe_load_all=lambda text: yaml.load_all(text, SafeLoader),
)
