"""What MATLAB files (versions 5 and 7.3) unpack to, before a library loads them as a whole."""

import zlib
from pathlib import Path
from typing import IO, Any

import h5py

from labram.signals.readers.errors import too_large, unreadable
from labram.signals.readers.hdf5_links import is_hdf5
from labram.signals.readers.limits import MOST_RATIO, unpacked_limit

_COMPRESSED, _START, _TAG_BYTES, _CHUNK = 15, 128, 8, 1 << 20


def require_proportionate(path: Path) -> None:
    """Raise if the variables of a MATLAB file unpack to more than 100 times its size, or to a size that is not known.

    Raises:
        ReadError: DAMAGED; UNREADABLE if its structure cannot be followed.
    """
    try:
        size = _hdf5_size(path) if is_hdf5(path) else _matlab5_size(path, unpacked_limit(path))
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, zlib.error) as error:
        raise unreadable(path, type(error).__name__) from None
    if size > unpacked_limit(path):
        raise too_large(path, f"unpacks to more than {MOST_RATIO} times its size")


def _hdf5_size(path: Path) -> int:
    """Return the size of all datasets, with those that were never written."""
    sizes: list[int] = []

    def add(_: str, found: Any) -> None:
        if isinstance(found, h5py.Dataset):
            sizes.append(found.size * found.dtype.itemsize if found.size else 0)

    with h5py.File(path, "r") as file:
        file.visititems(add)
    return sum(sizes)


def _matlab5_size(path: Path, most: int) -> int:
    """Return what all compressed variables unpack to, or a number beyond `most`."""
    size, total, position = path.stat().st_size, 0, _START
    with path.open("rb") as file:
        file.seek(_START - 2)
        order = "little" if file.read(2) == b"IM" else "big"
        while total <= most and position + _TAG_BYTES <= size:
            file.seek(position)
            tag = file.read(_TAG_BYTES)
            kind, length = (int.from_bytes(tag[at : at + 4], order) for at in (0, 4))  # type: ignore[arg-type]
            total += _unpacked(file, length, most - total) if kind == _COMPRESSED else 0
            position += _TAG_BYTES + length
    return total


def _unpacked(file: IO[bytes], length: int, most: int) -> int:
    """Return the size of `length` compressed bytes, or a number beyond `most`."""
    unpack, total = zlib.decompressobj(), 0
    while length and (packed := file.read(min(length, _CHUNK))):
        length -= len(packed)
        while packed and total <= most:
            total += len(unpack.decompress(packed, _CHUNK))
            packed = unpack.unconsumed_tail
        if total > most:
            break
    return total
