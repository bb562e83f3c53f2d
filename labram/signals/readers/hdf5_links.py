"""HDF5 files (EEGLAB and MATLAB 7.3) that refer to other files: their hash would not cover what is read."""

from pathlib import Path
from typing import Any

import h5py

from labram.signals.readers.errors import outside

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FIRST_USER_BLOCK, _MAX_USER_BLOCK = 512, 1 << 20


def require_self_contained(path: Path) -> None:
    """Raise unless all data of an HDF5 file are in the file itself. MATLAB never writes a file of another kind.

    Files of other formats are not looked at. A structure that h5py cannot read is left to the reader.

    Raises:
        ReadError: OUTSIDE for an external link, external storage or a virtual dataset.
    """
    if not is_hdf5(path):
        return
    try:
        with h5py.File(path, "r") as file:
            refers = _refers_outside(file)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError):
        return
    if refers:
        raise outside(path, "a part of its HDF5 data")


def is_hdf5(path: Path) -> bool:
    """Return whether the signature is at the start, or behind a user block of 512 bytes times a power of two."""
    position = 0
    with path.open("rb") as file:
        while position <= _MAX_USER_BLOCK:
            file.seek(position)
            if file.read(len(_SIGNATURE)) == _SIGNATURE:
                return True
            position = position * 2 or _FIRST_USER_BLOCK
    return False


def _refers_outside(file: Any) -> bool:
    """Walk through all groups once; links are looked at before they are followed."""
    groups, seen = [file], set()
    while groups:
        group = groups.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                return True
            if not isinstance(link, h5py.HardLink):
                continue
            found = group[name]
            if isinstance(found, h5py.Dataset) and (found.external or found.is_virtual):
                return True
            if isinstance(found, h5py.Group):
                address = h5py.h5o.get_info(found.id).addr
                if address not in seen:
                    seen.add(address)
                    groups.append(found)
    return False
