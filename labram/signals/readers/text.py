"""Text tables of samples without metadata: recognised, so that they are quarantined instead of skipped."""

import re
from itertools import islice
from pathlib import Path
from typing import NoReturn

from labram.errors import ReadError, Reason
from labram.signals.electrodes import canonical_name

_SEPARATORS = re.compile(r"[,;\s]+")
_COMMENTS = ("#", "%")
_RECORDER = b"%OpenBCI"
_LINES = 200
_LONGEST_LINE = 1 << 16


def recognises(path: Path) -> bool:
    """Return whether the text is a table of samples: at least 200 numeric lines, with no header or electrode names.

    Comments may come first; a file of OpenBCI, whose lines have dates, is recognised by its first line. Other tables
    (of subjects, trials, scores) have words in their lines, or a header without electrodes.
    """
    with path.open("rb") as file:
        if file.read(len(_RECORDER)) == _RECORDER:
            return True
        file.seek(0)
        lines = (file.readline(_LONGEST_LINE).decode("latin1").strip() for _ in range(2 * _LINES))
        content = (line for line in lines if line and not line.startswith(_COMMENTS))
        rows = [_SEPARATORS.split(line.strip(",;")) for line in islice(content, 1 + _LINES)]
    if len(rows) <= _LINES:
        return False
    header, *body = rows
    named = any(canonical_name(word.strip("\"'")) for word in header)
    return (named or _numbers(header)) and all(map(_numbers, body))


def read(path: Path) -> NoReturn:
    """Raise the error for text without metadata.

    Raises:
        ReadError: UNSUPPORTED, always.
    """
    raise ReadError(
        "numeric text that does not state electrodes, sampling rate and unit",
        reason=Reason.UNSUPPORTED,
        file=path.name,
        remedy="Convert it to EDF+ or BrainVision, with channel names, sampling rate and unit",
    )


def _numbers(words: list[str]) -> bool:
    try:
        return bool([float(word) for word in words])
    except ValueError:
        return False
