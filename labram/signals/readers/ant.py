"""ANT Neuro CNT: compressed samples in a RIFF container, read by ANT's library antio.

MNE's reader is not used because it crashes if the patient's birthday is missing.
"""

from collections import Counter
from pathlib import Path

import numpy as np
from antio import read_cnt

from labram.signals.readers.errors import empty, unreadable
from labram.signals.recording import UNITS, Event, Recording

_SIGNATURES = (b"RIFF", b"RF64")
_MICROVOLTS = {"uv": 1.0, "µv": 1.0, "mv": 1e3, "v": 1e6, "nv": 1e-3}
_BLOCK_SAMPLES = 1 << 16


def recognises(path: Path) -> bool:
    """Return whether a ``.cnt`` file is ANT's; the others are Neuroscan's."""
    with path.open("rb") as file:
        return file.read(4) in _SIGNATURES


def read(path: Path) -> Recording:
    """Read a recording. Triggers become events, without their descriptions.

    A channel with another reference than most channels is named as a derivation, ``F3-C3``.

    Raises:
        ReadError: TOO_SHORT if it is empty, else UNREADABLE.
    """
    try:
        file = read_cnt(path)
        channels = [file.get_channel(index, encoding="latin1") for index in range(file.get_channel_count())]
        data = np.empty((len(channels), file.get_sample_count()), np.float32)
        for start in range(0, data.shape[1], _BLOCK_SAMPLES):
            stop = min(start + _BLOCK_SAMPLES, data.shape[1])
            data[:, start:stop] = file.get_samples_as_nparray(start, stop)
        triggers = [file.get_trigger(index) for index in range(file.get_trigger_count())]
    except Exception as error:  # antio raises arbitrary exceptions of its C code
        raise unreadable(path, type(error).__name__) from None
    if not data.size:
        raise empty(path)
    sfreq = float(file.get_sample_frequency())
    ((shared, _),) = Counter(reference for _, _, reference, *_ in channels).most_common(1)
    data *= np.array([_MICROVOLTS.get(unit.lower(), 1.0) for _, unit, *_ in channels], np.float32)[:, None]
    return Recording(
        data=data,
        channels=tuple(
            name if reference in ("", shared) else f"{name}-{reference}" for name, _, reference, *_ in channels
        ),
        sfreq=sfreq,
        events=tuple(Event(sample / sfreq, length / sfreq, code) for code, sample, length, *_ in triggers),
        unit=UNITS.get(_MICROVOLTS.get(channels[0][1].lower(), 0.0), ""),
    )
