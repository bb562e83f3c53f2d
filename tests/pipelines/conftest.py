"""KFP asks for the name of the calling function each time a resource is set, and looks through all loaded modules."""

import sys
from types import SimpleNamespace

from kfp.dsl import pipeline_task


def _stack() -> list[tuple]:
    """Return the part of `inspect.stack` that KFP reads, without the search that takes 0.3 s in a test process."""
    return [(), (None, None, None, sys._getframe(2).f_code.co_name)]


pipeline_task.inspect = SimpleNamespace(stack=_stack)
