"""ARFF, WEKA's tables, exported from an Emotiv EPOC.

The format states neither sampling rate nor unit. A table with exactly the 14 electrodes of an EPOC has 128 Hz and µV;
any other table is unsupported.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.io import arff

from labram.errors import ReadError, Reason
from labram.signals.electrodes import canonical_name
from labram.signals.readers.errors import empty, unreadable
from labram.signals.recording import Event, Recording

EPOC = frozenset(("AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4"))
EPOC_SFREQ = 128.0

_MOST_LINES, _LONGEST_LINE = 1000, 1 << 16


def recognises(path: Path) -> bool:
    """Return whether a column is named like an electrode."""
    with path.open("rb") as file:
        for _ in range(_MOST_LINES):
            words = file.readline(_LONGEST_LINE).decode("latin1").replace("'", " ").replace('"', " ").split()
            if len(words) > 1 and words[0].lower() == "@attribute" and canonical_name(words[1]):
                return True
    return False


def read(path: Path) -> Recording:
    """Read a table of an EPOC. Spans of constant value of a nominal column become events.

    Raises:
        ReadError: UNSUPPORTED for electrodes of another device, TOO_SHORT for an empty table, else UNREADABLE.
    """
    try:
        table, columns = arff.loadarff(path)
    except Exception as error:  # SciPy's parser raises arbitrary exceptions, including StopIteration
        raise unreadable(path, type(error).__name__) from None
    signals = [name for name in columns.names() if columns[name][0] == "numeric"]
    if {canonical_name(name) for name in signals} != EPOC:
        raise ReadError(
            "the table states neither sampling rate nor unit",
            reason=Reason.UNSUPPORTED,
            file=path.name,
            remedy="Convert it to EDF+ or BrainVision, with sampling rate and unit",
        )
    if not len(table):
        raise empty(path)
    return Recording(
        data=np.array([table[name] for name in signals], np.float32),
        channels=tuple(signals),
        sfreq=EPOC_SFREQ,
        events=tuple(
            event for name in columns.names() if columns[name][0] == "nominal" for event in _spans(table[name])
        ),
        notes=("rate_and_unit_of_emotiv_epoc",),
    )


def _spans(values: np.ndarray) -> list[Event]:
    edges = [0, *(1 + np.flatnonzero(values[1:] != values[:-1])), len(values)]
    return [
        Event(start / EPOC_SFREQ, (stop - start) / EPOC_SFREQ, values[start].decode("latin1"))
        for start, stop in pairwise(edges)
    ]
