"""EGI: continuous Net Station folders (.mff) and "simple binary" files (.raw).

EGI nets number their electrodes (``E1`` to ``E256``), and the positions differ between nets. Such channels are unnamed
unless the folder's own sensor layout names them.
"""

import struct
from pathlib import Path

import mne

from labram.signals.readers.errors import epoched, truncated, unreadable
from labram.signals.readers.with_mne import open_raw, to_recording
from labram.signals.recording import Recording

_HEADER = struct.Struct(">i6hi5hih")
"""Version, date and time, sampling rate, channels, gain, bits, range; if continuous, samples and event channels."""
_VALUE_BYTES = {2: 2, 4: 4, 6: 8}
_SEGMENTED = 1


def recognises_raw(path: Path) -> bool:
    """Return whether a ``.raw`` file has a plausible simple binary header."""
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return False
    version, year, month, day, hour, *_ = _HEADER.unpack(head)
    return bool(2 <= version <= 7 and 1980 <= year <= 2100 and 1 <= month <= 12 and 1 <= day <= 31 and 0 <= hour < 24)


def read_raw(path: Path) -> Recording:
    """Read a simple binary file. The format does not tell pauses.

    Raises:
        ReadError: EPOCHED for segmented files, TRUNCATED if samples are missing, else UNREADABLE.
    """
    with path.open("rb") as file:
        head = _HEADER.unpack(file.read(_HEADER.size))
    version, channels, samples, events = head[0], head[9], head[13], head[14]
    if version & _SEGMENTED:
        raise epoched(path)
    if min(channels, samples) < 1 or events < 0:
        raise unreadable(path, "inconsistent header fields")
    expected = _HEADER.size + 4 * events + (channels + events) * samples * _VALUE_BYTES[version]
    if path.stat().st_size < expected:
        raise truncated(path, "the file ends before the last sample")
    return to_recording(path, open_raw(path, mne.io.read_raw_egi))


def read_mff(path: Path) -> Recording:
    """Read an MFF folder. Gaps between its epochs are removed; the longest is `Recording.gap_seconds`.

    Raises:
        ReadError: EPOCHED for epochs and averages, which have categories; else UNREADABLE.
    """
    if (path / "categories.xml").exists():
        raise epoched(path)
    return to_recording(path, open_raw(path, mne.io.read_raw_egi), gap_seconds=0.0)


def mff_files(path: Path) -> tuple[Path, ...]:
    """Return all files of an MFF folder."""
    return tuple(sorted(part for part in path.rglob("*") if part.is_file()))
