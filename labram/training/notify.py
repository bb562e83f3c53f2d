"""Warnings to the user of a training."""

import warnings

from labram.errors import LabramWarning
from labram.events import Monitor


def warn_user(monitor: Monitor, text: str) -> None:
    """Report something unexpected that does not stop the training, as a note and as a `LabramWarning`."""
    monitor.note(text)
    warnings.warn(text, LabramWarning, stacklevel=2)
