"""Thin KFP components, one a step: each hands its inputs to the function of the same name in `labram.steps`.

A component's source travels inside the compiled pipeline and its cache key; the library's source does not. So the
image reference names the code: a commit or digest on a cluster, a hash of the source on a laptop.
"""

import os
import re
from collections.abc import Callable
from typing import Any

from kfp import dsl

from labram.errors import PlatformError

LAPTOP = "labram-python:source"
"""Stands for the source tree where no image is started, and nothing is cached across changes of it."""
IMAGE = os.environ.get("LABRAM_IMAGE", LAPTOP)
_FIXED = re.compile(r"[a-z0-9][\w./:-]*(@sha256:[0-9a-f]{64}|:(source-)?[0-9a-f]{12,40}(-[\w.-]+)?)")


def check_image(reference: str) -> None:
    """Refuse an image reference that may mean another image tomorrow: its name is part of KFP's cache key.

    Raises:
        PlatformError: If it is neither a digest nor a tag that begins with 12 hexadecimal digits of a commit.
    """
    if reference != LAPTOP and not _FIXED.fullmatch(reference):
        raise PlatformError(
            f"the image {reference!r} is named by neither a digest nor a commit, so it can change under the same name",
            field="LABRAM_IMAGE",
            remedy="Give NAME@sha256:DIGEST, or NAME:COMMIT with at least 12 digits of the commit",
        )


def component(function: Callable[..., Any]) -> Any:
    """A lightweight component that runs in the labram image as it is: nothing is installed when it starts."""
    check_image(IMAGE)
    return dsl.component(function, base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
