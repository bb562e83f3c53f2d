"""Dataset adapters: where each dataset keeps recordings, subjects and labels, and what is known about it."""

from labram.datasets.finder import FOLDER, find, unused
from labram.datasets.registry import ADAPTERS, get_adapter

__all__ = ["ADAPTERS", "FOLDER", "find", "get_adapter", "unused"]
