"""Thin KFP components, one a step: each hands its inputs to the function of the same name in `labram.steps`.

A component's source travels inside the compiled pipeline and its cache key; the library's source does not. So the
image reference names the code: a commit or digest on a cluster, a hash of the source on a laptop.
"""

import os
from collections.abc import Callable
from typing import Any

from kfp import dsl

IMAGE = os.environ.get("LABRAM_IMAGE", "labram-python:source")


def component(function: Callable[..., Any]) -> Any:
    """A lightweight component that runs in the labram image as it is: nothing is installed when it starts."""
    return dsl.component(function, base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
