"""Libraries in C that a damaged file can bring down, with their process: the file is tried in another first."""

import subprocess
import sys
from pathlib import Path

from labram.signals.readers.refusals import unreadable

_LONGEST_SECONDS = 3600
_UNDERSTOOD = (0, 1)
"""Exit codes of a process that read the file, or met an error that it could tell."""


def survive(path: Path) -> None:
    """Open `path` in a process of its own.

    Raises:
        ReadError: UNREADABLE if that process crashes, or is not done in an hour.
    """
    command = [sys.executable, "-m", "labram.signals.readers", str(path.resolve())]
    try:
        code = subprocess.run(command, capture_output=True, timeout=_LONGEST_SECONDS, check=False).returncode
    except subprocess.TimeoutExpired:
        raise unreadable(path, "its library does not come to an end") from None
    if code not in _UNDERSTOOD:
        raise unreadable(path, "its library crashes") from None
