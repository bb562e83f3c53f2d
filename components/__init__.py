"""Thin KFP components, one per step: each calls the function of the same name in `labram.steps`.

A component's source is part of the compiled pipeline and of KFP's cache key; the library's source is not. So the image
reference identifies the code: by commit or digest on a cluster, by a hash of the source on one machine.
"""

import os
import re
from collections.abc import Callable
from typing import Any

from kfp import dsl

from labram.errors import PlatformError

LAPTOP = "labram-python:source"
"""Image reference where no image is used; `labram run` sets one that identifies the source tree."""
IMAGE = os.environ.get("LABRAM_IMAGE", LAPTOP)
_FIXED = re.compile(r"[a-z0-9][\w./:-]*(@sha256:[0-9a-f]{64}|:(source-)?[0-9a-f]{12,40}(-[\w.-]+)?)")


def check_image(reference: str) -> None:
    """Check that an image reference is immutable, because it is part of KFP's cache key.

    Raises:
        PlatformError: If it is neither a digest nor a tag that starts with 12 hexadecimal digits of a commit.
    """
    if reference != LAPTOP and not _FIXED.fullmatch(reference):
        raise PlatformError(
            f"image: expected a digest or a commit tag, got {reference!r}, which can change",
            field="LABRAM_IMAGE",
            remedy="Set NAME@sha256:DIGEST, or NAME:COMMIT with at least 12 digits of the commit",
        )


def component(function: Callable[..., Any]) -> Any:
    """Return a lightweight component that runs in the labram image and installs nothing at start."""
    check_image(IMAGE)
    return dsl.component(function, base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
